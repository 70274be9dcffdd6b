"""Linear probes of images: the joint stage at base size, frozen; only tests.

The paper has such a table (2209.07526), but its figures are not at hand. Frozen features, [CLS] before the projection,
of one crop of 224 x 224 pixels; logistic regression by L-BFGS, its penalty chosen on a fifth of the training images, or
on the validation images of a set that has some. That is how CLIP's authors probe; which optimizer OmniVL's used is not
known. Batch: 128 images on each GPU, 1 is enough; the training set goes through the model once.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import LinearProbeEvaluation
from omnivl.weights import StageReader

with read_base():
    from .models.omnivl_base import *
    from .pipelines.classify_224 import *
    from .runtime import *

load_from = dict(type=StageReader, file='work_dirs/pretrain_joint', start_video_from_image=False)
loader = dict(batch_size=128, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
test_cfg = dict(type=EvaluationLoop, amp='bf16')
