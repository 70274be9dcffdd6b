"""OmniVL's joint stage on classes of images and videos by prompts, without finetuning. Only tests.

The paper's figures for this are not at hand, and ImageNet and Kinetics-400 are label data of its pretraining, so that
only the others are zero-shot in the strict sense. A class is the mean of its prompts: CLIP's 80 of ImageNet for all
sets of images (CLIP has others for some of them), ActionCLIP's 16 for videos; class names as the sets spell them.
One crop of 224 x 224 pixels, 8 frames: those of pretraining. Batch: 128 images or 16 clips on each GPU.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.datasets.transforms import LoadCIFAR
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import ZeroShotEvaluation
from omnivl.weights import StageReader

with read_base():
    from .._base_.datasets.image_sets import *
    from .._base_.datasets.imagenet import *
    from .._base_.datasets.kinetics400 import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.pretrain_224 import *
    from .._base_.runtime import *

load_from = dict(type=StageReader, file='work_dirs/pretrain_joint', start_video_from_image=False)

# Prompts go through the text part of these pipelines, which needs a text for each visual as well.
images = dict(templates='clip_image', pipeline=image_test_pipeline)
cifar = dict(templates='clip_image', pipeline=[dict(type=LoadCIFAR), *resize, *describe])
videos = dict(templates='actionclip', pipeline=video_test_pipeline)

image_loader = dict(batch_size=128, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
video_loader = dict(batch_size=16, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
test_dataloader = {
    'imagenet.zero_shot': dict(image_loader, dataset=dict(imagenet_test, **images)),
    'cifar10.zero_shot': dict(image_loader, dataset=dict(cifar10_test, **cifar)),
    'cifar100.zero_shot': dict(image_loader, dataset=dict(cifar100_test, **cifar)),
    'food101.zero_shot': dict(image_loader, dataset=dict(food101_test, **images)),
    'pets.zero_shot': dict(image_loader, dataset=dict(pets_test, **images)),
    'dtd.zero_shot': dict(image_loader, dataset=dict(dtd_test, **images)),
    'kinetics400.zero_shot': dict(video_loader, dataset=dict(kinetics400_test, **videos)),
}
by_image_prompts = dict(type=ZeroShotEvaluation, templates='clip_image')
test_evaluator = {
    'imagenet.zero_shot': by_image_prompts,
    'cifar10.zero_shot': by_image_prompts,
    'cifar100.zero_shot': by_image_prompts,
    'food101.zero_shot': by_image_prompts,
    'pets.zero_shot': by_image_prompts,
    'dtd.zero_shot': by_image_prompts,
    'kinetics400.zero_shot': dict(type=ZeroShotEvaluation, templates='actionclip'),
}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
