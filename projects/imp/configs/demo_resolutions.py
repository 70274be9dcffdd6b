"""Demo: as ``demo_pretrain.py``, with half of the steps with captions at 32 pixels and four times as many samples.

So a step has as many tokens: 16 pictures of 64 patches, or 64 of 16 patches. Tests are at 64 pixels.
"""

from mmengine.config import read_base

with read_base():
    from .demo_pretrain import *

small = [dict(type=Resize, size=32, keep_ratio=True), dict(type=CenterCrop, size=32)]
small_image_pipeline = [dict(type=LoadImage), *small, *augment, *describe]
small_video_pipeline = [dict(type=LoadVideo, num_frames=4, random=True), *small, *augment, *describe]
train_dataloader.update(
    image_text_small=dict(
        train_dataloader['image_text'], batch_size=64, dataset=dict(image_text_train, pipeline=small_image_pipeline)
    ),
    video_text_small=dict(
        train_dataloader['video_text'], batch_size=64, dataset=dict(video_text_train, pipeline=small_video_pipeline)
    ),
)
trunk.visual_encoder.image_size = [64, 32]
model.update(trunk=trunk, tasks=dict(tasks, image_text_small=dict(), video_text_small=dict(drop=dict(visual=0.25))))
train_cfg.proportions = dict(
    image_text=1, image_text_small=1, image_label=1, video_text=1, video_text_small=1, video_label=1
)
