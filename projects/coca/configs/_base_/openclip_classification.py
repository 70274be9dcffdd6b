"""open_clip's CoCas on the classes of ImageNet, by the mean of CLIP's 80 prompts. Batch: 128 images on each GPU."""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import ZeroShotEvaluation

with read_base():
    from .....configs._base_.datasets.imagenet import *
    from .....configs._base_.runtime import *
    from .openclip_224 import *

test_dataloader = {
    'imagenet.zero_shot': dict(
        batch_size=128,
        num_workers=8,
        sampler=dict(type=EpochSampler, shuffle=False),
        dataset=dict(imagenet_test, templates='clip_image', pipeline=image_test_pipeline),
    ),
}
test_evaluator = {'imagenet.zero_shot': dict(type=ZeroShotEvaluation, templates='clip_image')}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
