"""CoCa-Base, frozen, on ImageNet-1K: a pooler with a single query and a head are learned. The paper's CoCa: 90.6.

Batch: 128 = 2 GPUs x 64. The paper's: learning rate 5e-4, batch 128. The rest is that of classify_imagenet.py.
"""

from mmengine.config import read_base

with read_base():
    from .classify_imagenet import *

model.frozen = True
optim_wrapper.optimizer.lr = 5e-4
