"""Demo: video-only pretraining from random weights (a paradigm that the paper compares with)."""

from mmengine.config import read_base

with read_base():
    from .pretrain_joint import *

max_iters = 2000

train_dataloader = dict(video=train_dataloader.video)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
load_from = None
param_scheduler[1].T_max = max_iters - warmup
