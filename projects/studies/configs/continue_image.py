"""Study: stage 1 goes on with images alone, for as many steps on images as the joint stage has."""

from mmengine.config import read_base

with read_base():
    from ...demo.configs.pretrain_joint import *

max_iters = max_iters // 2  # half of the joint stage's steps are on images

train_dataloader = dict(image=train_dataloader.image)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
param_scheduler[0].end = warmup // 2
param_scheduler[1].update(begin=max_iters // 2, end=max_iters)
