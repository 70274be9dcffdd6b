"""Linear probe of OmniVL's joint stage on DTD, split 1 of ten. Only tests.

The paper has such a table (2209.07526), but its figures are not at hand. Frozen features, [CLS] before the projection,
of one crop of 224 x 224 pixels; logistic regression by L-BFGS, its penalty chosen on the split's validation images.
That is how CLIP's authors probe; which optimizer OmniVL's used is not known. Batch: 128 images on each GPU, 1 is
enough; the training set goes through the model once.
The classifier is then trained on training and validation images, as in CLIP; others train on the former alone.
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
