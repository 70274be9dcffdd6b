"""CoCa-Base, frozen, on Kinetics-400: one pooler over the tokens of 16 frames is learned. The paper's CoCa: 88.0.

Batch: 128 = 4 GPUs x 32 clips. The paper's: learning rate 5e-4, batch 128. The rest is that of action_kinetics400.py.
"""

from mmengine.config import read_base

with read_base():
    from .action_kinetics400 import *

model.frozen = True
optim_wrapper.optimizer.lr = 5e-4
train_dataloader.video.batch_size = 32
