"""From videos to model inputs for action recognition at 224 pixels and 8 frames, those of pretraining.

The paper says nothing of it. Ours: the range of the crop, RandAugment as in pretraining. The habit of the field: views
for testing (4 clips x 3 crops on Kinetics-400, 2 x 3 on Something-Something v2), and that clips are mirrored on
Kinetics but never on Something-Something, whose classes tell left from right.
"""

from omnivl.datasets.transforms import (
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
resize = dict(type=Resize, size=224, keep_ratio=True)
augment = [
    dict(type=RandomResizedCrop, size=224, scale=(0.2, 1.0)),
    dict(type=RandAugment, num_ops=2, magnitude=5),
    dict(type=PackSample),
]
center_crop = [resize, dict(type=CenterCrop, size=224), dict(type=PackSample)]
three_crops = [resize, dict(type=ThreeCrop, size=224), dict(type=PackSample)]

mirrored_pipeline = [dict(load, random=True), dict(type=RandomFlip, prob=0.5), *augment]
unmirrored_pipeline = [dict(load, random=True), *augment]
# One view, for choosing a checkpoint on the way.
one_view_pipeline = [load, *center_crop]
views_1x3_pipeline = [load, *three_crops]
views_2x3_pipeline = [dict(load, num_clips=2), *three_crops]
views_4x3_pipeline = [dict(load, num_clips=4), *three_crops]
