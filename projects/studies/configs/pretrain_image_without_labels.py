"""Study, stage 1 without label data: image-text pairs alone, for as many steps."""

from mmengine.config import read_base

with read_base():
    from ...demo.configs.pretrain_image import *

train_dataloader.image.dataset.datasets = train_dataloader.image.dataset.datasets[:1]
