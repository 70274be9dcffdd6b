"""open_clip's coca_ViT-B-32: one pooler, feed-forward layers between self- and cross-attention, 224 pixels.

Its released weights have a mask of [CLS] that is shifted by one (``pool='cls_shifted'``).
"""

from omnivl.models.encoders import CausalTextEncoder, ImageEncoder
from omnivl.models.tokenizers import BytePairTokenizer, ImageTokenizer
from projects.coca.model import CoCa, CoCaPretrain, MultimodalDecoder, TaskPoolers

trunk = dict(
    type=CoCa,
    tokenizer=dict(type=BytePairTokenizer, vocab_folder='data/clip'),
    visual_encoder=dict(
        type=ImageEncoder,
        image_tokenizer=dict(type=ImageTokenizer, patch_size=32, bias=False),
        width=768,
        depth=12,
        num_heads=12,
        image_size=224,
        norm_eps=1e-5,
        pre_norm=True,
        last_norm=False,
    ),
    pooler=dict(type=TaskPoolers, kind='single', num_queries=256, num_heads=8),
    text_encoder=dict(
        type=CausalTextEncoder, vocab_size=49408, width=512, depth=12, num_heads=8, max_length=76, pool='cls_shifted'
    ),
    text_decoder=dict(type=MultimodalDecoder, vocab_size=49408, depth=12, num_heads=8, between=True),
    embed_dim=512,
)
model = dict(type=CoCaPretrain, trunk=trunk)
