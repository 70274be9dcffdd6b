"""Stage 1 at small size, from DINOv2's ViT-S/14 and a six-layer BERT of width 384; the paper has no such model.

Data, batch and schedule are those of pretrain_image.py.
Start: timm's vit_small_patch14_dinov2.lvd142m, whose LayerScale is folded and whose positions are interpolated from 518
to 224 pixels, and nreimers/MiniLM-L6-H384-uncased (12 heads); with config.json beside each, settings are compared.
Pixels are normalised as DINOv2's were.
"""

from mmengine.config import read_base

from omnivl.models import VLDataPreprocessor

with read_base():
    from .pretrain_image import *
    from .._base_.models.omnivl_small import *  # isort: skip; after it, whose model is another

model.data_preprocessor = dict(type=VLDataPreprocessor, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
load_from = [
    dict(type=TimmViTReader, file='data/weights/vit_small_patch14_dinov2/model.safetensors'),
    dict(type=BERTReader, file='data/weights/MiniLM-L6-H384-uncased/model.safetensors'),
]
