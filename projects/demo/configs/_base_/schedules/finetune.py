"""Finetuning at demo scale, from the joint stage of the quickstart: a minute or so on two CPU cores."""

from mmengine.config import read_base
from mmengine.optim import LinearLR
from torch.optim import AdamW

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.weights import StageReader

with read_base():
    from ..datasets.paths import *

warmup = 50

optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=5e-4, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=400, max_keep_ckpts=1))
load_from = dict(type=StageReader, file=f'{demo_work_dir}/stage2', start_video_from_image=False)
train_loader = dict(batch_size=16, num_workers=1, sampler=dict(type=EpochSampler))
test_loader = dict(batch_size=50, num_workers=0, sampler=dict(type=EpochSampler, shuffle=False))
val_cfg = dict(type=EvaluationLoop)
test_cfg = dict(type=EvaluationLoop)
