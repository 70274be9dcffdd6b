"""OmniVL at base size: ViT-B/16 and BERT-base, 0.28 B trained parameters (OmniVL, 2209.07526, section 4).

The paper gives the size of the two encoders. Where it is silent the value is BLIP's: sharing of the text models, 256
dimensions of the shared space, queues, momentum, temperature, label smoothing. The extent of the 3D tokenizer in time
is ours.
"""

from omnivl.models import OmniVL, OmniVLPretrain
from omnivl.models.decoders import AlignmentDecoder, GenerationDecoder
from omnivl.models.encoders import TextEncoder, UnifiedVisualEncoder
from omnivl.models.losses import HardNegatives, LanguageLoss, MatchingLoss, UniVLCLoss
from omnivl.models.tokenizers import ImageTokenizer, VideoTokenizer, WordPieceTokenizer

# BERT's 30522 word pieces, [DEC] and [ENC].
text_model = dict(vocab_size=30524, width=768, depth=12, num_heads=12, mlp_ratio=4.0, max_length=512, dropout=0.1)

# Every task takes the trunk and holds of it what it uses.
trunk = dict(
    type=OmniVL,
    tokenizer=dict(type=WordPieceTokenizer, vocab_file='data/bert-base-uncased/vocab.txt'),
    visual_encoder=dict(
        type=UnifiedVisualEncoder,
        image_tokenizer=dict(type=ImageTokenizer, patch_size=16),
        video_tokenizer=dict(type=VideoTokenizer, patch_size=16, time_kernel=3, time_stride=1),
        width=768,
        depth=12,
        num_heads=12,
        mlp_ratio=4.0,
        image_size=224,
        num_frames=8,
    ),
    text_encoder=dict(type=TextEncoder, **text_model),
    alignment_decoder=dict(type=AlignmentDecoder, **text_model),
    generation_decoder=dict(type=GenerationDecoder, **text_model),
    share='blip',
    embed_dim=256,
    temperature=0.07,
    temperature_range=(0.001, 0.5),
)
univlc = dict(type=UniVLCLoss)
vlm = dict(type=MatchingLoss)
lm = dict(type=LanguageLoss, label_smoothing=0.1)
model = dict(
    type=OmniVLPretrain,
    trunk=trunk,
    losses=[univlc, vlm, lm],
    negatives=dict(type=HardNegatives),
    queue_length=57600,
    momentum=0.995,
)
