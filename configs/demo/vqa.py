"""Demo: questions about images, finetuned from the joint stage.

Twin of configs/omnivl/vqa_v2.py for two CPU cores. Data: 12000 questions in VQAv2's form. Batch 32 x 1 process.
"""

from mmengine.config import read_base
from mmengine.optim import LinearLR
from torch.optim import AdamW

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.evaluation import QAEvaluation
from omnivl.weights import StageReader

with read_base():
    from .._base_.datasets.demo_qa import *
    from .._base_.models.omnivl_tiny_qa import *
    from .._base_.runtime import *

max_iters = 1200
warmup = 50

train_dataloader = dict(
    image=dict(
        batch_size=32,
        num_workers=1,
        sampler=dict(type=EpochSampler),
        dataset=dict(image_qa['train'], pipeline=image_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, end=warmup),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.01, by_epoch=False, begin=warmup, end=max_iters),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=600, max_keep_ckpts=1))
load_from = dict(
    type=StageReader,
    file=f'{demo_work_dir}/stage2',
    start_video_from_image=False,
    allow=['contrastive_loss.*'],
)

loader = dict(batch_size=50, num_workers=0, sampler=dict(type=EpochSampler, shuffle=False))
evaluation = dict(
    type=QAEvaluation, protocol='vqav2', answer_list=image_answers, methods=('rank', 'generate'), max_length=4
)
val_dataloader = {'image.qa': dict(loader, dataset=dict(image_qa['val'], pipeline=image_test_pipeline))}
val_evaluator = {'image.qa': evaluation}
val_cfg = dict(type=EvaluationLoop)
test_dataloader = {'image.qa': dict(loader, dataset=dict(image_qa['test'], pipeline=image_test_pipeline))}
test_evaluator = {'image.qa': evaluation}
test_cfg = dict(type=EvaluationLoop)
