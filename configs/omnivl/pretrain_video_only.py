"""OmniVL's ablation "video-only": stage 2's videos, from ViT-B/16 and BERT-base, without any image (section 4.3).

Budget: that of all paradigms, see configs/_base_/budget.py: 150.1k updates of 768 clips, 115M clips, at 3e-4.
"""

from mmengine.config import read_base
from mmengine.optim import StepLR

with read_base():
    from .._base_.budget import *
    from .pretrain_joint import *

max_iters = round(budget / video_cost)
train_dataloader = dict(video=train_dataloader.video)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
optim_wrapper.optimizer.lr = 3e-4
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6 / 3e-4, by_epoch=False, end=3000),
    dict(type=StepLR, step_size=max_iters // 20, gamma=0.85, by_epoch=False),
]
load_from = [
    dict(type=TimmViTReader, file='data/weights/vit_base_patch16_224.safetensors'),
    dict(type=BERTReader, file='data/weights/bert-base-uncased.safetensors'),
]
