"""IMP-L, dense: as ``pretrain_base.py``, at large size.

No run of this size without experts is published; learning rate and warm-up are those with them: 5e-4 after 50,000.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.models.imp_large import *
    from ._base_.pretrain import *

model.update(tasks=tasks, use_labels=True, data_preprocessor=dict(type=VLDataPreprocessor, text_lengths=(16,)))
optim_wrapper.optimizer.lr = 5e-4
param_scheduler[0].update(start_factor=2e-3, end=50_000)
param_scheduler[1].update(begin=50_000, T_max=450_000)
