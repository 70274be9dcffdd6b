"""Finetuning at demo scale, from the joint stage of the quickstart: a minute or so on two CPU cores.

A config says how many steps it takes, in the two places that need to know:
``train_cfg.max_iters = param_scheduler[1].end = 300``.
"""

from mmengine.config import read_base
from mmengine.optim import LinearLR
from torch.optim import AdamW

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.weights import StageReader

with read_base():
    from ..datasets.paths import *
    from .test import *

warmup = 50

train_cfg = dict(type=AlternatingTrainLoop, max_iters=300)
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=5e-4, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, end=warmup),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.01, by_epoch=False, begin=warmup, end=300),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=400, max_keep_ckpts=1))
load_from = dict(type=StageReader, file=f'{demo_work_dir}/stage2', start_video_from_image=False)
train_loader = dict(batch_size=16, num_workers=1, sampler=dict(type=EpochSampler))
val_cfg = dict(type=EvaluationLoop)
