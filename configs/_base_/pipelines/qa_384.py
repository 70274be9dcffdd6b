"""From files to model inputs for questions at 384 pixels, videos with 16 frames (OmniVL, 2209.07526, section 4).

BLIP's: the range of the crop, two operations of magnitude 5, questions of at most 50 words and 35 word pieces. BLIP
also mirrors half of the pictures; not here, for questions and answers speak of left and right.
"""

from omnivl.datasets.transforms import (
    CleanQuestion,
    LoadImage,
    LoadVideo,
    PackSample,
    RandAugment,
    RandomResizedCrop,
    Resize,
    TokenizeText,
)

ask = [
    dict(type=CleanQuestion, max_words=50),
    dict(type=TokenizeText, max_length=35),
    dict(type=PackSample),
]
augment = [
    dict(type=RandomResizedCrop, size=384, scale=(0.5, 1.0)),
    dict(type=RandAugment, num_ops=2, magnitude=5),
]

image_pipeline = [dict(type=LoadImage), *augment, *ask]
video_pipeline = [dict(type=LoadVideo, num_frames=16, random=True, short_side=426), *augment, *ask]
image_test_pipeline = [dict(type=LoadImage), dict(type=Resize, size=384), *ask]
video_test_pipeline = [dict(type=LoadVideo, num_frames=16, short_side=426), dict(type=Resize, size=384), *ask]
