"""OmniVL's ablation "joint": images and videos together from ViT-B/16 and BERT-base, no image stage (section 4.3)."""

from mmengine.config import read_base

with read_base():
    from .pretrain_joint import *

optim_wrapper.optimizer.lr = 3e-4
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6 / 3e-4, by_epoch=False, end=3000),
    dict(type=ExponentialLR, gamma=0.85, by_epoch=True),
]
load_from = [
    dict(type=TimmViTReader, file='data/weights/vit_base_patch16_224.safetensors'),
    dict(type=BERTReader, file='data/weights/bert-base-uncased.safetensors'),
]
