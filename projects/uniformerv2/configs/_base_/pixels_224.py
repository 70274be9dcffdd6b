"""From frames of videos to model inputs at 224 pixels, after the published training.

RandAugment there draws 4 operations of strength 7 with a deviation of 0.5, colours among them; ours has no deviation
and leaves colours alone. Its colour jitter has no effect beside RandAugment, in its code and here.
"""

from omnivl.datasets.transforms import (
    AugmentedViews,
    CenterCrop,
    LoadVideo,
    PackSample,
    RandAugment,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    ThreeCrop,
)

load = dict(type=LoadVideo, num_frames=8, short_side=256)
augment = [dict(type=RandomResizedCrop, size=224, scale=(0.08, 1.0)), dict(type=RandAugment, num_ops=4, magnitude=7)]
mirrored = [dict(type=RandomFlip, prob=0.5), *augment, dict(type=PackSample)]
two_unmirrored = [dict(type=AugmentedViews, transforms=augment, num_views=2), dict(type=PackSample)]
center_crop = [
    dict(type=Resize, size=224, keep_ratio=True),
    dict(type=CenterCrop, size=224),
    dict(type=PackSample),
]
three_crops = [dict(type=Resize, size=224, keep_ratio=True), dict(type=ThreeCrop, size=224), dict(type=PackSample)]
