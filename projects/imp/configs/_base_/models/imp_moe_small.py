"""IMP-MoE-Small (google-research's imp/max): small with 4 experts in each of the last 6 layers.

The rest as ``imp_moe_base.py``.
"""

from mmengine.config import read_base

with read_base():
    from .imp_moe_base import *

trunk.encoder.update(width=384, num_heads=6)
trunk.encoder.experts.num_experts = 4
model = dict(type=IMPPretrain, trunk=trunk)
