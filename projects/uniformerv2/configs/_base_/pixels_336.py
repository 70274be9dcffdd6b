"""From frames of videos to model inputs at 336 pixels, after the published training.

RandAugment there draws 4 operations of strength 7 with a deviation of 0.5, colours among them; ours has no deviation
and leaves colours alone. Its colour jitter has no effect beside RandAugment, in its code and here.
"""

from omnivl.datasets.transforms import (
    CenterCrop,
    PackSample,
    RandAugment,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    ThreeCrop,
)

unmirrored = [
    dict(type=RandomResizedCrop, size=336, scale=(0.08, 1.0)),
    dict(type=RandAugment, num_ops=4, magnitude=7),
    dict(type=PackSample),
]
mirrored = [dict(type=RandomFlip, prob=0.5), *unmirrored]
center_crop = [
    dict(type=Resize, size=336, keep_ratio=True),
    dict(type=CenterCrop, size=336),
    dict(type=PackSample),
]
three_crops = [dict(type=Resize, size=336, keep_ratio=True), dict(type=ThreeCrop, size=336), dict(type=PackSample)]
