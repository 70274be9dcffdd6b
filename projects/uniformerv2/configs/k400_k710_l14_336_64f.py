"""UniFormerV2-L/14 at 336 pixels and 64 frames, K710 -> Kinetics-400. Published: 90.0, top-1.

As k400_k710_l14_336_32f.py, with twice the frames and half the batch of a GPU.
Batch: 128 = 64 GPUs x 2 clips of 64 frames, 336 x 336 pixels, learning rate 1.5e-6, 5 epochs, 1 of them warm-up.
Test: 2 clips x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

with read_base():
    from .k400_k710_l14_336_32f import *

model.trunk.visual_encoder.num_frames = 64
train_dataloader.video.batch_size = 2
train_dataloader.video.dataset.pipeline[0].num_frames = 64
val_dataloader['video.classification'].dataset.pipeline[0].num_frames = 64
test_dataloader['video.classification'].dataset.pipeline[0].num_frames = 64
