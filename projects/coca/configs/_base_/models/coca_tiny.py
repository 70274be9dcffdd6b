"""CoCa at the size of a laptop's CPU: 64-pixel pictures, about a million parameters.

As projects/demo/configs/_base_/models/omnivl_tiny.py wherever both have the same part: a ViT of the same size, with a
stem of small convolutions, two text layers in each half, and the word pieces of the demo. A picture has 17 tokens, so
16 queries take the place of 256; with ``kind='single'`` there has to be one more, the vector's.
"""

from mmengine.config import read_base

from omnivl.models.encoders import CausalTextEncoder, ImageEncoder
from omnivl.models.tokenizers import ImageTokenizer, WordPieceTokenizer
from projects.coca.model import CoCa, CoCaPretrain, MultimodalDecoder, TaskPoolers

with read_base():
    from .....demo.configs._base_.datasets.paths import *

trunk = dict(
    type=CoCa,
    tokenizer=dict(type=WordPieceTokenizer, vocab_file=vocab_file),
    visual_encoder=dict(
        type=ImageEncoder,
        image_tokenizer=dict(type=ImageTokenizer, patch_size=16, stem_channels=(24, 48, 96, 192)),
        width=128,
        depth=2,
        num_heads=4,
        mlp_ratio=2.0,
        image_size=64,
        init_std=0.08,
    ),
    pooler=dict(type=TaskPoolers, kind='cascade', num_queries=16, num_heads=4),
    text_encoder=dict(
        type=CausalTextEncoder, vocab_size=128, width=128, depth=2, num_heads=4, mlp_ratio=2.0, max_length=32
    ),
    text_decoder=dict(type=MultimodalDecoder, vocab_size=128, depth=2, num_heads=4, mlp_ratio=2.0),
    embed_dim=64,
)
model = dict(type=CoCaPretrain, trunk=trunk)
