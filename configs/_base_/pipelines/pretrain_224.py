"""From files to model inputs for pretraining at 224 pixels and 8 frames (OmniVL, 2209.07526, section 4).

The paper: random crop to 224 x 224, RandAugment, 8 frames sampled sparsely. BLIP's: the range of the crop, the flip,
two operations of magnitude 5, captions of at most 30 word pieces.
"""

from omnivl.datasets.transforms import (
    CenterCrop,
    CleanCaption,
    LoadImage,
    LoadVideo,
    PackSample,
    RandAugment,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    TokenizeText,
)

augment = [
    dict(type=RandomResizedCrop, size=224, scale=(0.2, 1.0)),
    dict(type=RandomFlip, prob=0.5),
    dict(type=RandAugment, num_ops=2, magnitude=5),
]
resize = [dict(type=Resize, size=224, keep_ratio=True), dict(type=CenterCrop, size=224)]
describe = [
    dict(type=CleanCaption, max_words=30),
    dict(type=TokenizeText, max_length=30),
    dict(type=PackSample),
]

image_pipeline = [dict(type=LoadImage), *augment, *describe]
video_pipeline = [dict(type=LoadVideo, num_frames=8, random=True, short_side=256), *augment, *describe]
image_test_pipeline = [dict(type=LoadImage), *resize, *describe]
video_test_pipeline = [dict(type=LoadVideo, num_frames=8, short_side=256), *resize, *describe]
