"""What the trainings share: AdamW, weight decay 0.05, warm-up from 1e-6, cosine to 1e-6, gradients of norm 20 at most.

A config sets the learning rate, ``train_cfg.max_epochs``, the ends of both schedulers and, in the first, the factor at
which the warm-up starts: 1e-6 over the learning rate.
"""

from mmengine.optim import CosineAnnealingLR, LinearLR
from torch.optim import AdamW

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.evaluation import ClassificationEvaluation

train_loader = dict(batch_size=32, num_workers=12, pin_memory=True, sampler=dict(type=EpochSampler))
test_loader = dict(batch_size=8, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))

optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=1e-5, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=20.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.1, by_epoch=True, end=5, convert_to_iter_based=True),
    dict(type=CosineAnnealingLR, eta_min=1e-6, by_epoch=True, begin=5, T_max=50, convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000, max_keep_ckpts=3))
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=55, epoch_by='video', val_interval=5)
val_evaluator = {'video.classification': dict(type=ClassificationEvaluation)}
val_cfg = dict(type=EvaluationLoop, amp='bf16')
test_evaluator = {'video.classification': dict(type=ClassificationEvaluation)}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
