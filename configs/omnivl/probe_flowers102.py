"""Linear probe of the joint stage on Flowers-102: see configs/_base_/probe_images.py.

The classifier is trained on training and validation images, 20 of each class, as in CLIP; CLIP's figure is per_class.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.image_sets import *
    from .._base_.probe_images import *

test_dataloader = {'flowers102.linear_probe': dict(loader, dataset=dict(flowers102_test, pipeline=image_test_pipeline))}
test_evaluator = {
    'flowers102.linear_probe': dict(
        type=LinearProbeEvaluation,
        train=dict(loader, dataset=dict(flowers102_train, pipeline=image_test_pipeline)),
        val=dict(loader, dataset=dict(flowers102_val, pipeline=image_test_pipeline)),
    )
}
