"""From files to model inputs: clips of 32 frames at 224 pixels in [-1, 1], 3.2 s of sound at 48 kHz, 16 words.

Differs from the published pipeline: frames are spread over the part of the video that is meant (of 3.2 s in
pretraining, about the published 10 a second), rather than each second one of the file; crops are of the usual kind,
where theirs scale the shorter side by a random factor first; colours change in contrast alone.
"""

from omnivl.datasets.transforms import (
    CenterCrop,
    CleanCaption,
    ColorContrast,
    LoadAudio,
    LoadSoundtrack,
    LoadVideo,
    PackSample,
    RandomFlip,
    RandomNoise,
    RandomResizedCrop,
    Resize,
    ThreeCrop,
    TokenizeText,
)

load = dict(type=LoadVideo, num_frames=32, short_side=256)
augment = [
    dict(type=RandomResizedCrop, size=224, scale=(0.5, 1.0)),
    dict(type=RandomFlip, prob=0.5),
    dict(type=ColorContrast, contrast=0.2),
]
shorter_side = dict(type=Resize, size=224, keep_ratio=True)
middle = [shorter_side, dict(type=CenterCrop, size=224)]
pack = dict(type=PackSample)
words = [dict(type=CleanCaption, max_words=16), dict(type=TokenizeText, max_length=16)]

video_and_sound_pipeline = [
    dict(load, random=True),
    dict(type=LoadSoundtrack, seconds=3.2, rate=48000),
    *augment,
    dict(type=RandomNoise, std=0.01),
    *words,
    dict(type=PackSample, beside=['audio']),
]
video_test_pipeline = [load, *middle, *words, pack]
audio_test_pipeline = [dict(type=LoadAudio, seconds=3.2, rate=48000), pack]
video_classes_pipeline = [dict(load, random=True), *augment, pack]
video_one_view_pipeline = [load, *middle, pack]
video_4x3_pipeline = [dict(load, num_clips=4), shorter_side, dict(type=ThreeCrop, size=224), pack]
