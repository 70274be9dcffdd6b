"""OmniVL finetuned on ImageNet-1K; the paper probes and does not finetune, so there is no figure to reach.

Batch: 1024 = 16 GPUs x 64 images of 224 x 224 pixels, those of pretraining. On R GPUs set
train_dataloader.image.batch_size to 1024 / R, or accumulate.
The paper's, of its other tasks: AdamW, weight decay 0.05, linear decay. Ours: learning rate 5e-5, ten times that for
the new head, 20 epochs, the batch, label smoothing 0.1, gradients of norm 1 at most, augmentation as in pretraining.
Start: the joint stage, whose label data ImageNet is part of. Test: the validation set, one crop.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, EvaluationLoop
from omnivl.evaluation import ClassificationEvaluation
from omnivl.models import OmniVLClassifier

with read_base():
    from .._base_.datasets.imagenet import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.classify_224 import *
    from .._base_.runtime import *
    from .._base_.schedules.finetune_classes import *

model = dict(type=OmniVLClassifier, trunk=trunk, num_classes=1000, label_smoothing=0.1)
train_dataloader = dict(
    image=dict(
        batch_size=64,
        num_workers=12,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(imagenet_train, templates=None, pipeline=image_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=20, epoch_by='image', val_interval=5)

loader = dict(batch_size=128, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
val_dataloader = {'image.classification': dict(loader, dataset=dict(imagenet_test, pipeline=image_test_pipeline))}
val_evaluator = {'image.classification': dict(type=ClassificationEvaluation)}
val_cfg = dict(type=EvaluationLoop, amp='bf16')
test_dataloader, test_evaluator, test_cfg = val_dataloader, val_evaluator, val_cfg
