"""OmniVL at the size of a laptop's CPU: 64-pixel pictures, about a million parameters.

Departs from the larger sizes where a few minutes of training ask for it: tokenizers with a stem of small
convolutions, a 3D tokenizer that halves the positions in time, a quick momentum encoder, half of the negatives drawn
evenly, no dropout.
"""

from mmengine.config import read_base

from omnivl.models import OmniVL, OmniVLPretrain
from omnivl.models.decoders import AlignmentDecoder, GenerationDecoder
from omnivl.models.encoders import TextEncoder, UnifiedVisualEncoder
from omnivl.models.losses import HardNegatives, LanguageLoss, MatchingLoss, UniVLCLoss
from omnivl.models.tokenizers import ImageTokenizer, VideoTokenizer, WordPieceTokenizer

with read_base():
    from ..datasets.paths import *

text_model = dict(
    vocab_size=128, width=128, depth=2, num_heads=4, mlp_ratio=2.0, max_length=32, dropout=0.0, init_std=0.08
)
stem = (24, 48, 96, 192)

trunk = dict(
    type=OmniVL,
    tokenizer=dict(type=WordPieceTokenizer, vocab_file=vocab_file),
    visual_encoder=dict(
        type=UnifiedVisualEncoder,
        image_tokenizer=dict(type=ImageTokenizer, patch_size=16, stem_channels=stem),
        video_tokenizer=dict(type=VideoTokenizer, patch_size=16, time_kernel=3, time_stride=2, stem_channels=stem),
        width=128,
        depth=2,
        num_heads=4,
        mlp_ratio=2.0,
        image_size=64,
        num_frames=4,
        init_std=0.08,
        pos_std=0.5,
    ),
    text_encoder=dict(type=TextEncoder, **text_model),
    alignment_decoder=dict(type=AlignmentDecoder, **text_model),
    generation_decoder=dict(type=GenerationDecoder, **text_model),
    share='blip',
    embed_dim=64,
)
univlc = dict(type=UniVLCLoss)
vlm = dict(type=MatchingLoss, positive_weight=2.0)
# A caption names each attribute, and most of its words are easy: at weight 1 shapes are learnt half as fast.
lm = dict(type=LanguageLoss, label_smoothing=0.0, weight=8.0)
contrast = dict(
    negatives=dict(type=HardNegatives, uniform_share=0.5), queue_length=1024, momentum=0.99, momentum_ramp=True
)
model = dict(type=OmniVLPretrain, trunk=trunk, losses=[univlc, vlm, lm], **contrast)
