"""IMP-S, dense: as ``pretrain_base.py``, at small size.

Published: 200,000 steps, learning rate 8e-4 after a warm-up of 10,000, decay to 0; there on images alone.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.models.imp_small import *
    from ._base_.pretrain import *

model.update(tasks=tasks, use_labels=True, data_preprocessor=dict(type=VLDataPreprocessor, text_lengths=(16,)))
train_cfg.max_iters = 200_000
optim_wrapper.optimizer.lr = 8e-4
param_scheduler[0].update(start_factor=1.25e-3, end=10_000)
param_scheduler[1].update(begin=10_000, T_max=190_000, eta_min=0.0)
