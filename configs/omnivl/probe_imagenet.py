"""Linear probe of OmniVL's joint stage on ImageNet-1K. Only tests.

Its labels are part of the pretraining, so this says less than the other probes do; no figure of the paper for it is
known. Frozen features, [CLS] before the projection, of one crop of 224 x 224 pixels; logistic regression by L-BFGS, its
penalty chosen on a fifth of the training images, as CLIP's authors probe. Batch: 128 images on each GPU, 1 is enough;
the training set goes through the model once. The features of all images take 4 GB of the GPU, twice that for a moment.
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
