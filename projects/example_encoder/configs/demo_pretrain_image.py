"""The demo's image stage with a small ConvNeXt of timm as its visual encoder."""

from mmengine.config import read_base

from projects.example_encoder.model import TimmFrameEncoder

with read_base():
    from ...demo.configs.pretrain_image import *

model.trunk.visual_encoder = dict(
    type=TimmFrameEncoder,
    backbone='convnext_atto',
    width=text_model['width'],
    stage=2,
    options=dict(depths=(1, 1, 2, 1), dims=(16, 32, 64, 96)),
)
