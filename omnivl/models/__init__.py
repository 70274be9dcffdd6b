from . import decoders, encoders, losses, tokenizers
from .data_preprocessor import VLDataPreprocessor
from .momentum import FeatureQueues, MomentumEncoder
from .normalizers import WaveformNormalizer
from .omnivl import OmniVL
from .tasks import OmniVLCaption, OmniVLClassifier, OmniVLPretrain, OmniVLQA, OmniVLRetrieval, TrunkModel
from .trunk import VisualTrunk

__all__ = [
    'FeatureQueues',
    'MomentumEncoder',
    'OmniVL',
    'OmniVLCaption',
    'OmniVLClassifier',
    'OmniVLPretrain',
    'OmniVLQA',
    'OmniVLRetrieval',
    'TrunkModel',
    'VLDataPreprocessor',
    'VisualTrunk',
    'WaveformNormalizer',
    'decoders',
    'encoders',
    'losses',
    'tokenizers',
]
