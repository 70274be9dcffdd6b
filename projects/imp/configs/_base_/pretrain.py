"""What the pretraining of all sizes shares: tasks, optimizer, validation.

Published: AdamW 0.9/0.999, eps 1e-7, weight decay 1e-4, gradients clipped at 1.0, cosine decay; 500,000 steps, small
200,000. Warm-up and learning rate are in the config of each size. The published schedule begins with 2000 to 5000 steps
at a rate near 0 before its warm-up, which is left out here. A step is compiled layer by layer, once for each shape
(leave ``recompile_limit`` out where PyTorch does not know it).
"""

from mmengine.config import read_base
from mmengine.optim import CosineAnnealingLR, LinearLR
from torch.optim import AdamW

from omnivl.engine import AlternatingTrainLoop, DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.evaluation import RetrievalEvaluation, ZeroShotEvaluation
from omnivl.models import VLDataPreprocessor

with read_base():
    from .....configs._base_.datasets.coco_retrieval import *
    from .....configs._base_.runtime import *
    from .tasks import *

steps, warmup, peak = 500_000, 25_000, 1e-3
train_cfg = dict(type=AlternatingTrainLoop, max_iters=steps, proportions=proportions, val_interval=25_000)
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=peak, betas=(0.9, 0.999), eps=1e-7, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=5e-3, by_epoch=False, end=warmup),
    dict(type=CosineAnnealingLR, by_epoch=False, begin=warmup, T_max=steps - warmup, eta_min=1e-6),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=5000, max_keep_ckpts=3))
compile = dict(scope='blocks', dynamic=False, recompile_limit=64)

# Where experts choose among all samples of a batch, figures depend on its size: these are of 128 and of 32.
test_loader = dict(num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
val_dataloader = {
    'coco.retrieval': dict(
        test_loader, batch_size=128, dataset=dict(coco_retrieval_test, pipeline=image_test_pipeline)
    ),
    'imagenet.zero_shot': dict(
        test_loader, batch_size=128, dataset=dict(imagenet_test, templates='clip_image', pipeline=image_test_pipeline)
    ),
    'kinetics400.zero_shot': dict(
        test_loader, batch_size=32, dataset=dict(kinetics400_test, templates='actionclip', pipeline=video_test_pipeline)
    ),
}
val_evaluator = {
    'coco.retrieval': dict(type=RetrievalEvaluation, rerank_k=None),
    'imagenet.zero_shot': dict(type=ZeroShotEvaluation, templates='clip_image'),
    'kinetics400.zero_shot': dict(type=ZeroShotEvaluation, templates='actionclip'),
}
test_dataloader, test_evaluator = val_dataloader, val_evaluator
val_cfg = test_cfg = dict(type=EvaluationLoop, amp='bf16')
