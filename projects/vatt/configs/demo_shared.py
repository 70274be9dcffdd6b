"""Demo: as demo_pretrain.py, with one transformer for video, audio and text."""

from mmengine.config import read_base

with read_base():
    from .demo_pretrain import *

model.trunk.shared = True
