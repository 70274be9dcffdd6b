"""OmniVL's ablation "video-only": stage 2's videos, from ViT-B/16 and BERT-base, without any image (section 4.3)."""

from mmengine.config import read_base

with read_base():
    from .pretrain_joint import *

train_dataloader = dict(video=train_dataloader.video)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=10, epoch_by='video')
load_from = [
    dict(type=TimmViTReader, file='data/weights/vit_base_patch16_224.safetensors'),
    dict(type=BERTReader, file='data/weights/bert-base-uncased.safetensors'),
]
