"""OmniVL at small size: ViT-S/14, as DINOv2 has it, and a BERT of the same width, six layers deep, as MiniLM is one."""

from mmengine.config import read_base

with read_base():
    from .omnivl_base import *

trunk.visual_encoder.width = 384
trunk.visual_encoder.num_heads = 6
trunk.visual_encoder.image_tokenizer.patch_size = trunk.visual_encoder.video_tokenizer.patch_size = 14
trunk.text_encoder.width = trunk.alignment_decoder.width = trunk.generation_decoder.width = 384
trunk.text_encoder.num_heads = trunk.alignment_decoder.num_heads = trunk.generation_decoder.num_heads = 12
trunk.text_encoder.depth = trunk.alignment_decoder.depth = trunk.generation_decoder.depth = 6
model.trunk = trunk
