"""From files to model inputs at 256 pixels: clips of 16 frames, and of 4 where they are classified; 8.192 s of sound.

Published: sizes and numbers of frames, texts of at most 16 tokens, a random crop in training. The range of the crop,
and that classes are mirrored and captions not, are ours.
"""

from omnivl.datasets.transforms import (
    CenterCrop,
    CleanCaption,
    LoadAudio,
    LoadImage,
    LoadSoundtrack,
    LoadVideo,
    PackSample,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    TokenizeText,
)

load_clip = dict(type=LoadVideo, num_frames=16, short_side=288)
crop = dict(type=RandomResizedCrop, size=256, scale=(0.5, 1.0))
mirrored = [crop, dict(type=RandomFlip, prob=0.5)]
resize = [dict(type=Resize, size=256, keep_ratio=True), dict(type=CenterCrop, size=256)]
describe = [dict(type=CleanCaption, max_words=16), dict(type=TokenizeText, max_length=16), dict(type=PackSample)]

image_pipeline = [dict(type=LoadImage), crop, *describe]
image_label_pipeline = [dict(type=LoadImage), *mirrored, *describe]
video_pipeline = [dict(load_clip, random=True), crop, *describe]
video_label_pipeline = [dict(load_clip, random=True, num_frames=4), *mirrored, *describe]
soundtrack = dict(type=LoadSoundtrack, seconds=8.192, rate=16000)
heard = [*describe[:-1], dict(type=PackSample, beside=['audio'])]
video_audio_pipeline = [dict(load_clip, random=True), soundtrack, crop, *heard]
audio_label_pipeline = [dict(type=LoadAudio, seconds=8.192, rate=16000, random=True), dict(type=PackSample)]
image_test_pipeline = [dict(type=LoadImage), *resize, *describe]
video_test_pipeline = [load_clip, *resize, *describe]
audio_test_pipeline = [dict(type=LoadAudio, seconds=8.192, rate=16000), dict(type=PackSample)]
