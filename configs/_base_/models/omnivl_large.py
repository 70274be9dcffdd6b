"""OmniVL at large size: ViT-L/16 with BERT-base, as BLIP's large model; the paper has none."""

from mmengine.config import read_base

with read_base():
    from .omnivl_base import *

model.visual_encoder.width = 1024
model.visual_encoder.depth = 24
model.visual_encoder.num_heads = 16
model.visual_encoder.drop_path = 0.1
model.visual_encoder.activation_checkpointing = True
