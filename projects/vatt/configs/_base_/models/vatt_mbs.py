"""VATT-MBS (2104.11178): the video transformer is of the medium size, 12 x 1024; the rest as ``vatt_bbs.py``."""

from mmengine.config import read_base

with read_base():
    from .vatt_bbs import *

trunk.visual_encoder.backbone = dict(width=1024, depth=12, num_heads=16, mlp_ratio=4.0)
model.trunk = trunk
