"""Linear probe of the joint stage on Food-101: see configs/_base_/probe_images.py."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.image_sets import *
    from .._base_.probe_images import *

test_dataloader = {'food101.linear_probe': dict(loader, dataset=dict(food101_test, pipeline=image_test_pipeline))}
test_evaluator = {
    'food101.linear_probe': dict(
        type=LinearProbeEvaluation, train=dict(loader, dataset=dict(food101_train, pipeline=image_test_pipeline))
    )
}
