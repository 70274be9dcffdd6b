"""Finetuning of a new head for classes, from the joint stage; the paper's values for it are not known.

The paper's, of its other tasks: AdamW, weight decay 0.05, linear decay. Ours: learning rate 5e-5, ten times that for
the head, 20 epochs, gradients of norm 1 at most.
"""

from mmengine.config import read_base

with read_base():
    from .finetune import *

optim_wrapper.optimizer.lr = 5e-5
optim_wrapper.paramwise_cfg = dict(lr_mult={'head': 10.0})
optim_wrapper.clip_grad = dict(max_norm=1.0)
param_scheduler = [
    dict(type=LinearLR, start_factor=1.0, end_factor=0.0, by_epoch=True, end=20, convert_to_iter_based=True)
]
