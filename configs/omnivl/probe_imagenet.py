"""Linear probe of the joint stage on ImageNet-1K: see configs/_base_/probe_images.py.

Its labels are part of the pretraining, so this says less than the other probes do; no figure of the paper for it is
known. The features of all images take 4 GB of the GPU, twice that for a moment.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.imagenet import *
    from .._base_.probe_images import *

test_dataloader = {'imagenet.linear_probe': dict(loader, dataset=dict(imagenet_test, pipeline=image_test_pipeline))}
test_evaluator = {
    'imagenet.linear_probe': dict(
        type=LinearProbeEvaluation, train=dict(loader, dataset=dict(imagenet_train, pipeline=image_test_pipeline))
    )
}
