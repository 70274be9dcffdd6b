"""open_clip's coca_ViT-L-14; the rest as ``openclip_base_32.py``, also the eight heads of the pooler."""

from mmengine.config import read_base

with read_base():
    from .openclip_base_32 import *

trunk.visual_encoder.update(width=1024, depth=24, num_heads=16)
trunk.visual_encoder.image_tokenizer.patch_size = 14
trunk.text_encoder.update(width=768, num_heads=12)
trunk.text_decoder.num_heads = 12
trunk.embed_dim = 768
model = dict(type=CoCaPretrain, trunk=trunk)
