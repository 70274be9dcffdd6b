"""Study, stage 2 without label data: image-text and video-text pairs alone, for as many steps."""

from mmengine.config import read_base

with read_base():
    from ...demo.configs.pretrain_joint import *

train_dataloader.image.dataset.datasets = train_dataloader.image.dataset.datasets[:1]
train_dataloader.video.dataset.datasets = train_dataloader.video.dataset.datasets[:1]
train_dataloader.video.sampler.weights = None
