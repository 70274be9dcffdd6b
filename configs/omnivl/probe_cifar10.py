"""Linear probe of OmniVL's joint stage on CIFAR-10. Only tests.

The paper has such a table (2209.07526), but its figures are not at hand. Frozen features, [CLS] before the projection,
of one crop of 224 x 224 pixels; logistic regression by L-BFGS, its penalty chosen on a fifth of the training images.
That is how CLIP's authors probe; which optimizer OmniVL's used is not known. Batch: 128 images on each GPU, 1 is
enough; the training set goes through the model once.
Pictures of 32 x 32 pixels are enlarged.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.image_sets import *
    from .._base_.probe_images import *

test_dataloader = {'cifar10.linear_probe': dict(loader, dataset=dict(cifar10_test, pipeline=cifar_test_pipeline))}
test_evaluator = {
    'cifar10.linear_probe': dict(
        type=LinearProbeEvaluation, train=dict(loader, dataset=dict(cifar10_train, pipeline=cifar_test_pipeline))
    )
}
