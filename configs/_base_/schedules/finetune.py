"""Finetuning from the joint stage: AdamW, 1e-5, weight decay 0.05, linear decay over 10 epochs, bfloat16.

The paper's for retrieval and captions of images (2209.07526, supplement, table 1; for VQA it has 2e-5). The decay to 0
without a warm-up is BLIP's, the precision ours.
"""

from mmengine.optim import LinearLR
from torch.optim import AdamW

from omnivl.engine import DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.weights import StageReader

optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=1e-5, weight_decay=0.05, fused=True),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1.0, end_factor=0.0, by_epoch=True, end=10, convert_to_iter_based=True)
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000, max_keep_ckpts=3))
load_from = dict(type=StageReader, file='work_dirs/pretrain_joint', start_video_from_image=False)
test_cfg = dict(type=EvaluationLoop, amp='bf16')
