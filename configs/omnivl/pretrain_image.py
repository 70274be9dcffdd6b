"""OmniVL, stage 1: image pretraining (2209.07526, section 4).

Data: 14M image-text pairs (COCO, Visual Genome, CC3M, CC12M, SBU) and ImageNet-1K with its labels, 15.3M in all.
Batch: 2880 = 64 GPUs x 45 images. On R GPUs set train_dataloader.image.batch_size = 2880 / R. Where that does not fit:
    8 GPUs x 360 images with model.micro_batches=8 is the same update, for another forward pass;
    8 GPUs x 45 images x optim_wrapper.accumulative_counts=8 is one without it, whose batches each have matching
    negatives of their own 45 and are compared with the batches before them, but not with those after.
    Schedules, the momentum encoder and validations count updates.
Steps: about 16.5M captions and labelled images / 2880 = 5700 an epoch, 20 epochs (the paper's).
Learning rate: 3000 steps of warm-up from 1e-6 (BLIP's) to 3e-4 (the paper's), then x 0.85 per epoch (the paper's
"linear decay at rate 0.85", read as BLIP reads it), not below 1e-6 (BLIP's): 3e-4 x 0.85^19 = 1.4e-5. Weight decay
0.05 (the paper's).
Start: ViT-B/16 on ImageNet-1K (the paper's) and BERT-base (BLIP's).
"""

from mmengine.config import read_base
from mmengine.optim import ExponentialLR, LinearLR
from torch.optim import AdamW

from omnivl.datasets import MixedDataset
from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.weights import BERTReader, TimmViTReader

with read_base():
    from .._base_.datasets.coco_caption import *
    from .._base_.datasets.imagenet import *
    from .._base_.datasets.visual_genome import *
    from .._base_.datasets.web_images import *
    from .._base_.datasets.zero_shot_224 import *
    from .._base_.models.omnivl_base import *
    from .._base_.runtime import *

train_dataloader = dict(
    image=dict(
        batch_size=45,
        num_workers=8,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(
            type=MixedDataset,
            datasets=[
                dict(coco_train, pipeline=image_pipeline),
                dict(visual_genome_train, pipeline=image_pipeline),
                dict(cc3m_train, pipeline=image_pipeline),
                dict(cc12m_train, pipeline=image_pipeline),
                dict(sbu_train, pipeline=image_pipeline),
                dict(imagenet_train, pipeline=image_pipeline),
            ],
        ),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=20, epoch_by='image', val_interval=5)
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=3e-4, weight_decay=0.05, fused=True),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6 / 3e-4, by_epoch=False, end=3000),
    dict(type=ExponentialLR, gamma=0.85, by_epoch=True),
]
val_dataloader = test_dataloader = image_test_dataloader
val_evaluator = test_evaluator = image_test_evaluator
val_cfg = test_cfg = dict(type=EvaluationLoop, amp='bf16')
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000, max_keep_ckpts=3))
load_from = [
    dict(type=TimmViTReader, file='data/weights/vit_base_patch16_224.safetensors'),
    dict(type=BERTReader, file='data/weights/bert-base-uncased.safetensors'),
]
