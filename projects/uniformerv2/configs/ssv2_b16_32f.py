"""UniFormerV2-B/16 from CLIP on Something-Something v2, 32 frames. Published: 70.7, top-1.

As ssv2_b16.py, with twice the frames and half the batch of a GPU.
Batch: 256 = 16 GPUs x 8 videos x 2 views of 32 frames, 224 x 224 pixels.
Learning rate 4e-5, 22 epochs, 5 of them warm-up.
Test: 1 clip x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

with read_base():
    from .ssv2_b16 import *

model.trunk.visual_encoder.num_frames = 32
train_dataloader.video.batch_size = 8
train_dataloader.video.dataset.pipeline[0].num_frames = 32
val_dataloader['video.classification'].dataset.pipeline[0].num_frames = 32
test_dataloader['video.classification'].dataset.pipeline[0].num_frames = 32
