"""Linear probe of the joint stage on HMDB51, split 1: see configs/_base_/probe_videos.py.

There are three splits; for the others set ``split`` of both annotations.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.hmdb51 import *
    from .._base_.probe_videos import *

test_dataloader = {'hmdb51.linear_probe': dict(loader, dataset=dict(hmdb51_test, pipeline=views_1x3_pipeline))}
test_evaluator = {
    'hmdb51.linear_probe': dict(
        type=LinearProbeEvaluation, train=dict(loader, dataset=dict(hmdb51_train, pipeline=views_1x3_pipeline))
    )
}
