"""Linear probes of videos: the joint stage at base size, frozen; only tests.

The paper has no figure for them that is known. Frozen features, [CLS] before the projection, of 8 frames in one clip x
3 crops of 224 x 224 pixels, averaged; logistic regression, its penalty chosen on a fifth of the training videos (views
and fifth are ours). Batch: 16 videos on each GPU; the training set goes through the model once.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import LinearProbeEvaluation
from omnivl.weights import StageReader

with read_base():
    from .models.omnivl_base import *
    from .pipelines.action_224 import *
    from .runtime import *

load_from = dict(type=StageReader, file='work_dirs/pretrain_joint', start_video_from_image=False)
loader = dict(batch_size=16, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
test_cfg = dict(type=EvaluationLoop, amp='bf16')
