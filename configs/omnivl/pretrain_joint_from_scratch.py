"""OmniVL's ablation "joint": images and videos together from ViT-B/16 and BERT-base, no image stage (section 4.3).

Budget: that of all paradigms, see configs/_base_/budget.py: 97.4k updates of 2880 images and 97.4k of 768 clips, 281M
images and 75M clips, at 3e-4.
"""

from mmengine.config import read_base
from mmengine.optim import StepLR

with read_base():
    from .._base_.budget import *
    from .pretrain_joint import *

max_iters = 2 * round(budget / (image_cost + video_cost))
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters, proportions=dict(image=1, video=1))
optim_wrapper.optimizer.lr = 3e-4
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6 / 3e-4, by_epoch=False, end=3000),
    dict(type=StepLR, step_size=max_iters // 20, gamma=0.85, by_epoch=False),
]
load_from = [
    dict(type=TimmViTReader, file='data/weights/vit_base_patch16_224.safetensors'),
    dict(type=BERTReader, file='data/weights/bert-base-uncased.safetensors'),
]
