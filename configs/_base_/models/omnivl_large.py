"""OmniVL at large size: ViT-L/16 with BERT-base, as BLIP's large model; the paper has none."""

from mmengine.config import read_base

with read_base():
    from .omnivl_base import *

trunk.visual_encoder.width = 1024
trunk.visual_encoder.depth = 24
trunk.visual_encoder.num_heads = 16
trunk.visual_encoder.drop_path = 0.1
trunk.visual_encoder.activation_checkpointing = True
model.trunk = trunk
