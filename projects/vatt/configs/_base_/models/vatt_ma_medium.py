"""VATT-MA-Medium (2104.11178): one transformer, 12 x 1024, for video, audio and text, with projections of 1024."""

from mmengine.config import read_base

with read_base():
    from .vatt_bbs import *

from projects.vatt.model import VATTTextEncoder

trunk.update(
    shared=True,
    visual_encoder=dict(
        type=VATTVideoEncoder,
        image_size=224,
        num_frames=32,
        drop_token=0.5,
        projected=1024,
        backbone=dict(width=1024, depth=12, num_heads=16, mlp_ratio=4.0),
    ),
    audio_encoder=dict(type=VATTAudioEncoder, grid=(1200,), drop_token=0.5, projected=1024),
    text_encoder=dict(type=VATTTextEncoder, vocab_size=2**16, max_length=16, embed_width=300, projected=1024),
)
model.trunk = trunk
