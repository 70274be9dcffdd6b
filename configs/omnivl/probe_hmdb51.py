"""Linear probe of OmniVL's joint stage on HMDB51, split 1 (of three; others: ``split`` of both annotations).

Only tests; the paper has no figure for it that is known. All but the data is that of configs/omnivl/probe_ucf101.py:
frozen features of 8 frames in one clip x 3 crops of 224 x 224 pixels, logistic regression; 16 videos on each GPU.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.hmdb51 import *
    from .probe_ucf101 import *

test_dataloader = {'hmdb51.linear_probe': dict(loader, dataset=dict(hmdb51_test, pipeline=views_1x3_pipeline))}
test_evaluator = {
    'hmdb51.linear_probe': dict(
        type=LinearProbeEvaluation, train=dict(loader, dataset=dict(hmdb51_train, pipeline=views_1x3_pipeline))
    )
}
