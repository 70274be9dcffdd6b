"""VATT-MA-Medium (2104.11178): one transformer, 12 x 1024, for video, audio and text, with projections of 1024."""

from mmengine.config import read_base

from projects.vatt.model import VATTTextEncoder

with read_base():
    from .vatt_bbs import *

trunk.shared = True
trunk.visual_encoder.projected = 1024
trunk.visual_encoder.backbone = dict(width=1024, depth=12, num_heads=16, mlp_ratio=4.0)
trunk.audio_encoder = dict(type=VATTAudioEncoder, grid=(1200,), drop_token=0.5, projected=1024)
trunk.text_encoder = dict(type=VATTTextEncoder, vocab_size=2**16, max_length=16, embed_width=300, projected=1024)
model.trunk = trunk
