"""From files to model inputs for captions at 384 pixels, videos with 8 frames (OmniVL, 2209.07526, section 4).

The paper names 8 frames for retrieval and none for captions. BLIP's (configs/caption_coco.yaml of its code): the range
of the crop, the mirror, two operations of magnitude 5, captions of at most 30 words and 40 word pieces with the three
of its prompt, which the model puts before them.
"""

from omnivl.datasets.transforms import (
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
    dict(type=RandomResizedCrop, size=384, scale=(0.5, 1.0)),
    dict(type=RandomFlip, prob=0.5),
    dict(type=RandAugment, num_ops=2, magnitude=5),
]
describe = [
    dict(type=CleanCaption, max_words=30),
    dict(type=TokenizeText, max_length=37),
    dict(type=PackSample),
]

image_pipeline = [dict(type=LoadImage), *augment, *describe]
video_pipeline = [dict(type=LoadVideo, num_frames=8, random=True, short_side=426), *augment, *describe]
image_test_pipeline = [dict(type=LoadImage), dict(type=Resize, size=384), *describe]
video_test_pipeline = [dict(type=LoadVideo, num_frames=8, short_side=426), dict(type=Resize, size=384), *describe]
