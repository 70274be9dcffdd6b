"""Linear probe of the joint stage on UCF101, split 1: see configs/_base_/probe_videos.py.

There are three splits; for the others set the numbers in the names of the files.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.ucf101 import *
    from .._base_.probe_videos import *

test_dataloader = {'ucf101.linear_probe': dict(loader, dataset=dict(ucf101_test, pipeline=views_1x3_pipeline))}
test_evaluator = {
    'ucf101.linear_probe': dict(
        type=LinearProbeEvaluation, train=dict(loader, dataset=dict(ucf101_train, pipeline=views_1x3_pipeline))
    )
}
