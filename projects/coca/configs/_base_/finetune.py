"""Finetuning from a pretrained CoCa: AdamW, weight decay 0.1, 1000 steps of warm-up, then a cosine to 0, bfloat16.

open_clip's for captions of COCO; a config sets the learning rate and where the cosine ends.
"""

from mmengine.optim import CosineAnnealingLR, LinearLR
from torch.optim import AdamW

from omnivl.engine import DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.weights import StageReader

optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=1e-5, betas=(0.9, 0.999), weight_decay=0.1, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-3, by_epoch=False, end=1000),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=True, T_max=1, convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000, max_keep_ckpts=3))
load_from = dict(type=StageReader, file='work_dirs/coca_pretrain')
test_cfg = dict(type=EvaluationLoop, amp='bf16')
