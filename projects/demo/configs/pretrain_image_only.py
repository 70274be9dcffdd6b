"""Demo: image-only pretraining from random weights (a paradigm that the paper compares with).

As many operations as stage 1 and the joint stage take together, all of them on images, at stage 1's learning rate.
"""

from mmengine.config import read_base

with read_base():
    from .pretrain_joint import *

max_iters = round(budget / image_cost)

train_dataloader = dict(image=train_dataloader.image)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
load_from = None
optim_wrapper.optimizer.lr = image_lr
param_scheduler[1].update(begin=max_iters // 2, end=max_iters)
