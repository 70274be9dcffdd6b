"""What all linear probes of images share: the joint stage at base size, frozen, at 224 pixels."""

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
