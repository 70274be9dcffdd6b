"""CoCa (2205.01917, table 1): ViT 40 x 1408, decoder 18 + 18, feed-forward layers of 6144; else ``coca_base.py``."""

from mmengine.config import read_base

with read_base():
    from .coca_base import *

trunk.visual_encoder.update(width=1408, depth=40, num_heads=16, mlp_ratio=6144 / 1408)
trunk.pooler.num_heads = 16
trunk.text_encoder.update(width=1408, depth=18, num_heads=16, mlp_ratio=6144 / 1408)
trunk.text_decoder.update(depth=18, num_heads=16, mlp_ratio=6144 / 1408)
trunk.embed_dim = 1408
model = dict(type=CoCaPretrain, trunk=trunk)
