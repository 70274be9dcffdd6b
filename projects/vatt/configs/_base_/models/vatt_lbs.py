"""VATT-LBS (2104.11178): the video transformer is of ViT-Large's size, 24 x 1024; the rest as ``vatt_bbs.py``."""

from mmengine.config import read_base

with read_base():
    from .vatt_bbs import *

trunk.visual_encoder.backbone = dict(width=1024, depth=24, num_heads=16, mlp_ratio=4.0)
model.trunk = trunk
