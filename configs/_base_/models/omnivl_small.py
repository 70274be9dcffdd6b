"""OmniVL at small size: ViT-S/16 and a text model of the same width, six layers deep."""

from mmengine.config import read_base

with read_base():
    from .omnivl_base import *

model.visual_encoder.width = 384
model.visual_encoder.num_heads = 6
model.text_encoder.width = model.alignment_decoder.width = model.generation_decoder.width = 384
model.text_encoder.num_heads = model.alignment_decoder.num_heads = model.generation_decoder.num_heads = 6
model.text_encoder.depth = model.alignment_decoder.depth = model.generation_decoder.depth = 6
