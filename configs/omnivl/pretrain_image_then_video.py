"""OmniVL's ablation "Img2Vid": stage 1's images, then videos only (section 4.3)."""

from mmengine.config import read_base

with read_base():
    from .pretrain_joint import *

train_dataloader = dict(video=train_dataloader.video)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=10, epoch_by='video')
