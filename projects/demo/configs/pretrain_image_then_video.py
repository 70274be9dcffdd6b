"""Demo: image pretraining, then videos only ("Img2Vid", a paradigm that the paper compares with).

Starts from the image stage, as pretrain_joint.py does, but shows no image again.
"""

from mmengine.config import read_base

with read_base():
    from .pretrain_joint import *

train_dataloader = dict(video=train_dataloader.video)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
