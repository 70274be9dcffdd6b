"""From files to model inputs at 288 pixels, clips of 16 frames (2205.01917, section 4).

The paper crops at random and says no more of it; ours are the range of the crop and, where classes are learned, mirror
and RandAugment. Texts are not cleaned: byte pairs are lower case, and captions are at most 76 tokens with both ends.
"""

from omnivl.datasets.transforms import (
    CenterCrop,
    CleanQuestion,
    LoadImage,
    LoadVideo,
    PackSample,
    RandAugment,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    ThreeCrop,
    TokenizeText,
)

load_clip = dict(type=LoadVideo, num_frames=16, short_side=320)
crop = dict(type=RandomResizedCrop, size=288, scale=(0.5, 1.0))
augment = [crop, dict(type=RandomFlip, prob=0.5), dict(type=RandAugment, num_ops=2, magnitude=5)]
shorter_side = dict(type=Resize, size=288, keep_ratio=True)
resize = [shorter_side, dict(type=CenterCrop, size=288)]
pack = dict(type=PackSample)
describe = [dict(type=TokenizeText, max_length=76), pack]
# Question and answer are one text of 76 tokens.
ask = [dict(type=CleanQuestion, max_words=50), dict(type=TokenizeText, max_length=40), pack]

image_pipeline = [dict(type=LoadImage), crop, *describe]
image_test_pipeline = [dict(type=LoadImage), *resize, *describe]
video_test_pipeline = [load_clip, *resize, *describe]
image_qa_pipeline = [dict(type=LoadImage), crop, *ask]
image_qa_test_pipeline = [dict(type=LoadImage), dict(type=Resize, size=288), *ask]
image_classes_pipeline = [dict(type=LoadImage), *augment, pack]
image_classes_test_pipeline = [dict(type=LoadImage), *resize, pack]
video_classes_pipeline = [dict(load_clip, random=True), *augment, pack]
video_one_view_pipeline = [load_clip, *resize, pack]
video_three_crops_pipeline = [load_clip, shorter_side, dict(type=ThreeCrop, size=288), pack]
