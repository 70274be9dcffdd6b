"""CoCa-Base (2205.01917, table 1): ViT 12 x 768, decoder 6 + 6, cascade of poolers, 288 pixels in patches of 18.

The paper's vocabulary of 64,000 is not public: the embeddings are of its size, the byte pairs are CLIP's 49,408. It
gives neither the heads of the poolers (those of the decoder here) nor the width of the shared space (that of the text).
"""

from omnivl.models.encoders import CausalTextEncoder, ImageEncoder
from omnivl.models.tokenizers import BytePairTokenizer, ImageTokenizer
from projects.coca.model import CoCa, CoCaPretrain, MultimodalDecoder, TaskPoolers

trunk = dict(
    type=CoCa,
    tokenizer=dict(type=BytePairTokenizer, vocab_folder='data/clip'),
    visual_encoder=dict(
        type=ImageEncoder,
        image_tokenizer=dict(type=ImageTokenizer, patch_size=18),
        width=768,
        depth=12,
        num_heads=12,
        mlp_ratio=4.0,
        image_size=288,
    ),
    pooler=dict(type=TaskPoolers, kind='cascade', num_queries=256, num_heads=12),
    text_encoder=dict(
        type=CausalTextEncoder, vocab_size=64000, width=768, depth=6, num_heads=12, mlp_ratio=4.0, max_length=76
    ),
    text_decoder=dict(type=MultimodalDecoder, vocab_size=64000, depth=6, num_heads=12, mlp_ratio=4.0),
    embed_dim=768,
)
model = dict(type=CoCaPretrain, trunk=trunk)
