"""The demo's image stage with a whole ConvNeXt as its visual encoder, from timm's weights on ImageNet."""

from mmengine.config import read_base

from projects.example_encoder.weights import TimmBackboneReader

with read_base():
    from .demo_pretrain_image import *

model.trunk.visual_encoder.options = dict()
load_from = dict(type=TimmBackboneReader, file='hf://timm/convnext_atto.d2_in1k/model.safetensors')
