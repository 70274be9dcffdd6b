"""From files to model inputs for questions about images at 480 pixels, BLIP's resolution; else as ``qa_384.py``."""

from mmengine.config import read_base

with read_base():
    from .qa_384 import *

image_pipeline_480 = [
    dict(type=LoadImage),
    dict(type=RandomResizedCrop, size=480, scale=(0.5, 1.0)),
    dict(type=RandAugment, num_ops=2, magnitude=5),
    *ask,
]
image_test_pipeline_480 = [dict(type=LoadImage), dict(type=Resize, size=480), *ask]
