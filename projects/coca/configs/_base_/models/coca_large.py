"""CoCa-Large (2205.01917, table 1): ViT 24 x 1024, decoder 12 + 12; the rest as ``coca_base.py``."""

from mmengine.config import read_base

with read_base():
    from .coca_base import *

trunk.visual_encoder.update(width=1024, depth=24, num_heads=16)
trunk.pooler.num_heads = 16
trunk.text_encoder.update(width=1024, depth=12, num_heads=16)
trunk.text_decoder.update(depth=12, num_heads=16)
trunk.embed_dim = 1024
model = dict(type=CoCaPretrain, trunk=trunk)
