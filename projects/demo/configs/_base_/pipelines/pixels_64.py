"""From files to model inputs for the demo corpus, whose files are 64 pixels wide already; others are made so.

No flip and no strong augmentation: 'left' and 'red' have to stay true.
"""

from mmengine.config import read_base

from omnivl.datasets.transforms import (
    CenterCrop,
    CleanCaption,
    ColorContrast,
    LoadImage,
    LoadVideo,
    PackSample,
    RandomShift,
    Resize,
    ShuffleFrames,
    TokenizeText,
)

with read_base():
    from ..datasets.paths import *

resize = [dict(type=Resize, size=64, keep_ratio=True), dict(type=CenterCrop, size=64)]
augment = [dict(type=RandomShift, max_shift=3), dict(type=ColorContrast, contrast=0.1)]
describe = [
    dict(type=CleanCaption, max_words=30),
    dict(type=TokenizeText, max_length=32),
    dict(type=PackSample),
]

image_pipeline = [dict(type=LoadImage), *resize, *augment, *describe]
video_pipeline = [dict(type=LoadVideo, num_frames=4, random=True), *resize, *augment, *describe]
image_test_pipeline = [dict(type=LoadImage), *resize, *describe]
video_test_pipeline = [dict(type=LoadVideo, num_frames=4), *resize, *describe]
# What a model cannot tell from this, it has learnt from the order of the frames.
video_shuffled_pipeline = [dict(type=LoadVideo, num_frames=4), *resize, dict(type=ShuffleFrames), *describe]

# For classes alone, without a text.
image_label_pipeline = [dict(type=LoadImage), *resize, *augment, dict(type=PackSample)]
video_label_pipeline = [dict(type=LoadVideo, num_frames=4, random=True), *resize, *augment, dict(type=PackSample)]
image_label_test_pipeline = [dict(type=LoadImage), *resize, dict(type=PackSample)]
video_label_test_pipeline = [dict(type=LoadVideo, num_frames=4), *resize, dict(type=PackSample)]
video_label_shuffled_pipeline = [
    dict(type=LoadVideo, num_frames=4),
    *resize,
    dict(type=ShuffleFrames),
    dict(type=PackSample),
]
