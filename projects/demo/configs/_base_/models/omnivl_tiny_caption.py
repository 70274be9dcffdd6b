"""OmniVL at the size of a laptop's CPU as a model that writes captions."""

from mmengine.config import read_base

from omnivl.models import OmniVLCaption

with read_base():
    from .omnivl_tiny import *

model = dict(
    type=OmniVLCaption,
    data_preprocessor=model.data_preprocessor,
    tokenizer=model.tokenizer,
    visual_encoder=model.visual_encoder,
    text_encoder=model.text_encoder,
    alignment_decoder=model.alignment_decoder,
    generation_decoder=model.generation_decoder,
    share='blip',
    embed_dim=64,
    label_smoothing=0.0,
)
