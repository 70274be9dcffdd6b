"""Demo: as ``demo_pretrain.py``, with 8 experts in each of the last two layers.

A token has one expert on average, so a step has the active parameters of the dense model.
"""

from mmengine.config import read_base

with read_base():
    from .demo_pretrain import *

trunk.encoder.update(num_sparse=2, experts=dict(num_experts=8, group_size=2048, groups='batch'))
model.trunk = trunk
