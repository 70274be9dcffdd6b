"""A pretrained CoCa-Base on classes of images and videos by prompts, without finetuning. Only tests.

The paper's CoCa: 86.3 on ImageNet, whose labels are part of pretrain.py here, so that it is not zero-shot in the strict
sense. A class is the mean of its prompts, CLIP's 80 for images and ActionCLIP's 16 for videos; a video the mean of the
embeddings of 16 frames.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import ZeroShotEvaluation
from omnivl.weights import StageReader

with read_base():
    from ....configs._base_.datasets.image_sets import *
    from ....configs._base_.datasets.imagenet import *
    from ....configs._base_.datasets.kinetics400 import *
    from ....configs._base_.runtime import *
    from ._base_.models.coca_base import *
    from ._base_.pixels_288 import *

load_from = dict(type=StageReader, file='work_dirs/coca_pretrain')
images = dict(templates='clip_image', pipeline=image_test_pipeline)
videos = dict(templates='actionclip', pipeline=video_test_pipeline)
image_loader = dict(batch_size=128, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
video_loader = dict(batch_size=8, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
test_dataloader = {
    'imagenet.zero_shot': dict(image_loader, dataset=dict(imagenet_test, **images)),
    'food101.zero_shot': dict(image_loader, dataset=dict(food101_test, **images)),
    'pets.zero_shot': dict(image_loader, dataset=dict(pets_test, **images)),
    'dtd.zero_shot': dict(image_loader, dataset=dict(dtd_test, **images)),
    'kinetics400.zero_shot': dict(video_loader, dataset=dict(kinetics400_test, **videos)),
}
by_image_prompts = dict(type=ZeroShotEvaluation, templates='clip_image')
test_evaluator = {
    'imagenet.zero_shot': by_image_prompts,
    'food101.zero_shot': by_image_prompts,
    'pets.zero_shot': by_image_prompts,
    'dtd.zero_shot': by_image_prompts,
    'kinetics400.zero_shot': dict(type=ZeroShotEvaluation, templates='actionclip'),
}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
