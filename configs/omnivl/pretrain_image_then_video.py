"""OmniVL's ablation "Img2Vid": stage 1's images, then videos only (section 4.3).

Budget: that of all paradigms, see configs/_base_/budget.py: after stage 1 (114.4k updates of 2880 images, 330M images,
at 3e-4) 88.2k updates of 768 clips, 68M clips, at 8e-5.
"""

from mmengine.config import read_base
from mmengine.optim import StepLR

with read_base():
    from .._base_.budget import *
    from .pretrain_joint import *

max_iters = round((budget - image_stage * image_cost) / video_cost)
train_dataloader = dict(video=train_dataloader.video)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6 / 8e-5, by_epoch=False, end=3000),
    dict(type=StepLR, step_size=max_iters // 10, gamma=0.85, by_epoch=False),
]
