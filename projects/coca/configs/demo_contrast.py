"""Demo: as demo_pretrain.py with the contrast alone. What writes is not built, so there are no captions to test."""

from mmengine.config import read_base

with read_base():
    from .demo_pretrain import *

model.update(caption_weight=0.0)
test_dataloader.pop('image.caption')
test_evaluator.pop('image.caption')
