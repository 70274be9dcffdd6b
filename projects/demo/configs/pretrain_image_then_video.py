"""Demo: image pretraining, then videos only ("Img2Vid", a paradigm that the paper compares with).

Starts from the image stage, as pretrain_joint.py does, but shows no image again; as many operations as that takes, all
of them on videos, at its learning rate.
"""

from mmengine.config import read_base

with read_base():
    from .pretrain_joint import *

max_iters = round((budget - image_stage * image_cost) / video_cost)

train_dataloader = dict(video=train_dataloader.video)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
param_scheduler[1].update(begin=max_iters // 2, end=max_iters)
