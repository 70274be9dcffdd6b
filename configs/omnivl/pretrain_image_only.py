"""OmniVL's ablation "image-only": images alone, from ViT-B/16 and BERT-base (section 4.3).

Budget: that of all paradigms, see configs/_base_/budget.py: 277.3k updates of 2880 images, 799M images, at 3e-4.
"""

from mmengine.config import read_base
from mmengine.optim import StepLR

with read_base():
    from .._base_.budget import *
    from .pretrain_image import *

max_iters = round(budget / image_cost)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6 / 3e-4, by_epoch=False, end=3000),
    dict(type=StepLR, step_size=max_iters // 20, gamma=0.85, by_epoch=False),
]
