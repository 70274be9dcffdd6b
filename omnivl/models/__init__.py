from . import decoders, encoders, losses, tokenizers
from .data_preprocessor import VLDataPreprocessor
from .momentum import FeatureQueues, MomentumTwin
from .omnivl import OmniVL
from .pretrain import OmniVLPretrain

__all__ = [
    'FeatureQueues',
    'MomentumTwin',
    'OmniVL',
    'OmniVLPretrain',
    'VLDataPreprocessor',
    'decoders',
    'encoders',
    'losses',
    'tokenizers',
]
