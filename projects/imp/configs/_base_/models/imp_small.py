"""IMP-S, dense (google-research's imp/max): 12 layers of 384, 6 heads; the rest as ``imp_base.py``."""

from mmengine.config import read_base

with read_base():
    from .imp_base import *

trunk.encoder.update(width=384, num_heads=6)
model = dict(type=IMPPretrain, trunk=trunk)
