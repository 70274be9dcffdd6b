"""Pixels and texts of open_clip: 224 pixels from the middle, and in training a crop of at least 0.9 of the area.

Texts are not cleaned: byte pairs are lower case. They have 76 tokens at most, with both ends.
"""

from omnivl.datasets.transforms import (
    CenterCrop,
    LoadImage,
    PackSample,
    RandomResizedCrop,
    Resize,
    TokenizeText,
)

describe = [dict(type=TokenizeText, max_length=76), dict(type=PackSample)]
image_pipeline = [dict(type=LoadImage), dict(type=RandomResizedCrop, size=224, scale=(0.9, 1.0)), *describe]
image_test_pipeline = [
    dict(type=LoadImage),
    dict(type=Resize, size=224, keep_ratio=True),
    dict(type=CenterCrop, size=224),
    *describe,
]
