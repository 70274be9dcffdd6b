"""Finetuning of the video encoder on classes, the published settings: SGD of momentum 0.9, 100k steps.

Learning rate 0.005 after 2500 steps of warm-up, then a cosine to 0; gradients of norm 0.75 at most; label smoothing
0.1 and dropout 0.5 before the head; half of the tokens dropped in training. Batch: 64 = 8 GPUs x 8 clips; that is ours,
as the published config leaves it open. Pixels: ``pixels_224.py``. Test: 4 clips x 3 crops; while training, one view.
"""

from mmengine.config import read_base
from mmengine.optim import CosineAnnealingLR, LinearLR
from torch.optim import SGD

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, EvaluationLoop, PrecisionOptimWrapper
from omnivl.evaluation import ClassificationEvaluation
from omnivl.models import OmniVLClassifier, VisualTrunk, VLDataPreprocessor

with read_base():
    from .pixels_224 import *

train_loader = dict(batch_size=8, num_workers=12, pin_memory=True, sampler=dict(type=EpochSampler))
test_loader = dict(batch_size=4, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    optimizer=dict(type=SGD, lr=0.005, momentum=0.9),
    clip_grad=dict(max_norm=0.75),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-4, by_epoch=False, end=2500),
    dict(type=CosineAnnealingLR, by_epoch=False, begin=2500, T_max=97500, eta_min=0.0),
]
train_cfg = dict(type=AlternatingTrainLoop, max_iters=100000, val_interval=10000)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=5000, max_keep_ckpts=10))
classification = dict(type=ClassificationEvaluation)
val_cfg = test_cfg = dict(type=EvaluationLoop, amp='bf16')
