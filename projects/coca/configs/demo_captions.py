"""Demo: as demo_pretrain.py with the caption loss alone. There is no shared space, so only captions are tested."""

from mmengine.config import read_base

with read_base():
    from .demo_pretrain import *

model.update(contrastive_weight=0.0)
test_dataloader = {'image.caption': test_dataloader['image.caption']}
test_evaluator = {'image.caption': test_evaluator['image.caption']}
