"""Study: stage 1 goes on with videos alone, for as many steps on videos as the joint stage has."""

from mmengine.config import read_base

with read_base():
    from ...demo.configs.pretrain_joint import *

max_iters = max_iters // 2  # half of the joint stage's steps are on videos

train_dataloader = dict(video=train_dataloader.video)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
param_scheduler[0].end = warmup // 2
param_scheduler[1].update(begin=max_iters // 2, end=max_iters)
