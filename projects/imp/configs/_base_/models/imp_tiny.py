"""IMP at the size of a laptop's CPU: 64-pixel pictures, under a million parameters.

Patches are of 2 frames of 8 x 8 pixels, so that a picture has 64 tokens and a clip of 4 frames 128; the published ones,
of 4 frames of 16 x 16, would leave 16. Sound is cut into 512 samples. One space for all modalities; the temperature
begins at CLIP's.
"""

from mmengine.config import read_base

from omnivl.models.tokenizers import WaveformTokenizer, WordPieceTokenizer
from projects.imp.model import IMP, AudioEmbedding, IMPPretrain, SharedEncoder, TextEmbedding, VisualEmbedding

with read_base():
    from .....demo.configs._base_.datasets.paths import *

trunk = dict(
    type=IMP,
    tokenizer=dict(type=WordPieceTokenizer, vocab_file=vocab_file),
    encoder=dict(type=SharedEncoder, width=128, depth=4, num_heads=4, mlp_ratio=2.0, qk_norm=True),
    visual_encoder=dict(type=VisualEmbedding, patch_size=(2, 8, 8), grid=(4, 8, 8), image_size=64),
    text_encoder=dict(type=TextEmbedding, vocab_size=128, max_length=32),
    audio_encoder=dict(type=AudioEmbedding, tokenizer=dict(type=WaveformTokenizer, patch_size=512), grid=(128,)),
    embed_dim=64,
    common_space='joint',
    temperature=0.07,
)
model = dict(type=IMPPretrain, trunk=trunk)
