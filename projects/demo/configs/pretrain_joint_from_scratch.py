"""Demo: joint pretraining on images and videos from random weights (a paradigm that the paper compares with)."""

from mmengine.config import read_base

with read_base():
    from .pretrain_joint import *

max_iters = 3000

train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters, proportions=dict(image=1, video=1))
load_from = None
param_scheduler[1].T_max = max_iters - warmup
