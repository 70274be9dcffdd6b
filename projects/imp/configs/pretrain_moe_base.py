"""IMP-MoE-B: as ``pretrain_base.py``, with 16 experts in the last 6 layers.

Zero-shot top-1 of the published model: ImageNet 83.2, Kinetics-400 68.2.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.models.imp_moe_base import *
    from ._base_.pretrain import *

model.update(tasks=tasks, use_labels=True, data_preprocessor=dict(type=VLDataPreprocessor, text_lengths=(16,)))
