"""IMP-MoE-L: as ``pretrain_moe_base.py``, at large size.

Published: learning rate 5e-4 after a warm-up of 50,000. Zero-shot top-1 of the published model: ImageNet 83.9,
Kinetics-400 77.0.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.models.imp_moe_large import *
    from ._base_.pretrain import *

model.update(tasks=tasks, use_labels=True, data_preprocessor=dict(type=VLDataPreprocessor, text_lengths=(16,)))
optim_wrapper.optimizer.lr = 5e-4
param_scheduler[0].update(start_factor=2e-3, end=50_000)
param_scheduler[1].update(begin=50_000, T_max=450_000)
