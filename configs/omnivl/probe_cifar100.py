"""Linear probe of the joint stage on CIFAR-100: see configs/_base_/probe_images.py.

Its pictures of 32 x 32 pixels are enlarged.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.image_sets import *
    from .._base_.probe_images import *

test_dataloader = {'cifar100.linear_probe': dict(loader, dataset=dict(cifar100_test, pipeline=cifar_test_pipeline))}
test_evaluator = {
    'cifar100.linear_probe': dict(
        type=LinearProbeEvaluation, train=dict(loader, dataset=dict(cifar100_train, pipeline=cifar_test_pipeline))
    )
}
