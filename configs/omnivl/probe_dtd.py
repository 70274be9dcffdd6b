"""Linear probe of the joint stage on DTD, split 1 of ten: see configs/_base_/probe_images.py.

The classifier is trained on training and validation images, as in CLIP; others train on the former alone.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.image_sets import *
    from .._base_.probe_images import *

test_dataloader = {'dtd.linear_probe': dict(loader, dataset=dict(dtd_test, pipeline=image_test_pipeline))}
test_evaluator = {
    'dtd.linear_probe': dict(
        type=LinearProbeEvaluation,
        train=dict(loader, dataset=dict(dtd_train, pipeline=image_test_pipeline)),
        val=dict(loader, dataset=dict(dtd_val, pipeline=image_test_pipeline)),
    )
}
