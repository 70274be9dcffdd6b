"""From files to model inputs for classes of images at 224 pixels, those of pretraining; no text.

Ours, as the paper says nothing of it: crop, mirror and RandAugment as in pretraining; for testing the shorter side
becomes 224 pixels and the middle is taken, as CLIP's probes do.
"""

from omnivl.datasets.transforms import (
    CenterCrop,
    LoadCIFAR,
    LoadImage,
    PackSample,
    RandAugment,
    RandomFlip,
    RandomResizedCrop,
    Resize,
)

center_crop = [
    dict(type=Resize, size=224, keep_ratio=True),
    dict(type=CenterCrop, size=224),
    dict(type=PackSample),
]

image_pipeline = [
    dict(type=LoadImage),
    dict(type=RandomResizedCrop, size=224, scale=(0.2, 1.0)),
    dict(type=RandomFlip, prob=0.5),
    dict(type=RandAugment, num_ops=2, magnitude=5),
    dict(type=PackSample),
]
image_test_pipeline = [dict(type=LoadImage), *center_crop]
cifar_test_pipeline = [dict(type=LoadCIFAR), *center_crop]
