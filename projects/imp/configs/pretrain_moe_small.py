"""IMP-MoE-S: as ``pretrain_small.py``, with 4 experts in each of the last 6 layers.

Published: the settings of small; there on images alone.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.models.imp_moe_small import *
    from ._base_.pretrain import *

model.update(tasks=tasks, use_labels=True, data_preprocessor=dict(type=VLDataPreprocessor, text_lengths=(16,)))
train_cfg.max_iters = 200_000
optim_wrapper.optimizer.lr = 8e-4
param_scheduler[0].update(start_factor=1.25e-3, end=10_000)
param_scheduler[1].update(begin=10_000, T_max=190_000, eta_min=0.0)
