"""Linear probe of the joint stage on Oxford-IIIT Pets: see configs/_base_/probe_images.py.

CLIP's figure for this set is the mean over classes, per_class.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.image_sets import *
    from .._base_.probe_images import *

test_dataloader = {'pets.linear_probe': dict(loader, dataset=dict(pets_test, pipeline=image_test_pipeline))}
test_evaluator = {
    'pets.linear_probe': dict(
        type=LinearProbeEvaluation, train=dict(loader, dataset=dict(pets_train, pipeline=image_test_pipeline))
    )
}
