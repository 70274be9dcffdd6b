"""IMP-L, dense (google-research's imp/max): 24 layers of 1024, 16 heads; the rest as ``imp_base.py``."""

from mmengine.config import read_base

with read_base():
    from .imp_base import *

trunk.encoder.update(width=1024, depth=24, num_heads=16)
model = dict(type=IMPPretrain, trunk=trunk)
