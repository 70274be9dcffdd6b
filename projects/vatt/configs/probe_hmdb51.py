"""Linear probe of VATT-MBS's video encoder on HMDB51, split 1. Only tests.

The published evaluation trains a linear SVM on the vectors of 4 clips; here it is logistic regression, its penalty
chosen on a fifth of the training videos, on the mean of 4 clips x 3 crops. Batch: 4 videos on each GPU.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import LinearProbeEvaluation
from omnivl.weights import StageReader

with read_base():
    from ....configs._base_.datasets.hmdb51 import *
    from ....configs._base_.runtime import *
    from ._base_.models.vatt_mbs import *
    from ._base_.pixels_224 import *

load_from = dict(type=StageReader, file='work_dirs/vatt_pretrain_mbs')
loader = dict(batch_size=4, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
test_dataloader = {'hmdb51.linear_probe': dict(loader, dataset=dict(hmdb51_test, pipeline=video_4x3_pipeline))}
test_evaluator = {
    'hmdb51.linear_probe': dict(
        type=LinearProbeEvaluation, train=dict(loader, dataset=dict(hmdb51_train, pipeline=video_4x3_pipeline))
    )
}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
