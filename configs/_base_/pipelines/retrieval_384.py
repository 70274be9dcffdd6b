"""From files to model inputs for retrieval at 384 pixels, videos with 8 frames (OmniVL, 2209.07526, section 4).

BLIP's (configs/retrieval_coco.yaml of its code): the range of the crop, the mirror, two operations of magnitude 5,
captions of at most 30 words and 35 word pieces. Paragraphs keep 64 of both, as VindLU has them.
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

describe = [
    dict(type=CleanCaption, max_words=30),
    dict(type=TokenizeText, max_length=35),
    dict(type=PackSample),
]
describe_paragraph = [
    dict(type=CleanCaption, max_words=64),
    dict(type=TokenizeText, max_length=64),
    dict(type=PackSample),
]
augment = [
    dict(type=RandomResizedCrop, size=384, scale=(0.5, 1.0)),
    dict(type=RandomFlip, prob=0.5),
    dict(type=RandAugment, num_ops=2, magnitude=5),
]
load_clip = dict(type=LoadVideo, num_frames=8, short_side=426)
load_random_clip = dict(load_clip, random=True)
resize = dict(type=Resize, size=384)

image_pipeline = [dict(type=LoadImage), *augment, *describe]
video_pipeline = [load_random_clip, *augment, *describe]
paragraph_pipeline = [load_random_clip, *augment, *describe_paragraph]
image_test_pipeline = [dict(type=LoadImage), resize, *describe]
video_test_pipeline = [load_clip, resize, *describe]
paragraph_test_pipeline = [load_clip, resize, *describe_paragraph]
