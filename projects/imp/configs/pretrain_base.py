"""IMP-B, dense, on images, videos, sounds, their labels and texts; one task a step.

Published: 500,000 steps, learning rate 1e-3 after a warm-up of 25,000. Zero-shot top-1 of the published model, on data
that nobody else has: ImageNet 80.5, Kinetics-400 63.6.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.models.imp_base import *
    from ._base_.pretrain import *

model.update(tasks=tasks, use_labels=True, data_preprocessor=dict(type=VLDataPreprocessor, text_lengths=(16,)))
