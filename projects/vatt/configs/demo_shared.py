"""Demo: as demo_pretrain.py, with one transformer for video, audio and text."""

from mmengine.config import read_base

with read_base():
    from .demo_pretrain import *

from projects.vatt.model import VATTTextEncoder

trunk.shared = True
trunk.visual_encoder.projected = 128
trunk.audio_encoder = dict(type=VATTAudioEncoder, grid=(125,), dropout=0.0, drop_token=0.5, projected=128)
trunk.text_encoder = dict(
    type=VATTTextEncoder,
    vocab_size=128,
    max_length=32,
    embed_width=64,
    train_embeddings=True,
    dropout=0.0,
    projected=128,
)
model.trunk = trunk
