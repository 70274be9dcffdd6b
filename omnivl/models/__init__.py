from . import decoders, encoders, losses, tokenizers
from .caption import OmniVLCaption
from .classify import OmniVLClassifier
from .data_preprocessor import VLDataPreprocessor
from .momentum import FeatureQueues, MomentumTwin
from .omnivl import OmniVL
from .pretrain import OmniVLPretrain
from .qa import OmniVLQA

__all__ = [
    'FeatureQueues',
    'MomentumTwin',
    'OmniVL',
    'OmniVLCaption',
    'OmniVLClassifier',
    'OmniVLPretrain',
    'OmniVLQA',
    'VLDataPreprocessor',
    'decoders',
    'encoders',
    'losses',
    'tokenizers',
]
