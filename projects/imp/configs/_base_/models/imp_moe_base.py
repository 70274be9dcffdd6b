"""IMP-MoE-Base (2305.06324): base with 16 experts in each of the last 6 layers, as in google-research's imp/max.

Published: experts choose, an expert for each token on average, in groups of at most 2048 tokens; queries and keys have
layer norms; the temperature starts at 1.0. The published code ends where padding is to be masked; here it is.
"""

from mmengine.config import read_base

with read_base():
    from .imp_base import *

trunk.encoder.update(
    qk_norm=True,
    num_sparse=6,
    experts=dict(num_experts=16, capacity_factor=1.0, group_size=2048, groups='batch', mask_padding=True),
)
trunk.temperature = 1.0
model = dict(type=IMPPretrain, trunk=trunk)
