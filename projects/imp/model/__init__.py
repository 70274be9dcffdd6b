from .embeddings import AudioEmbedding, CommonSpaceHead, TextEmbedding, VisualEmbedding
from .encoder import EncoderLayer, SharedEncoder
from .experts import ExpertFeedForward, choose_tokens
from .losses import Pair, PairContrast, pair_loss
from .tasks import IMPPretrain
from .trunk import IMP

__all__ = [
    'IMP',
    'AudioEmbedding',
    'CommonSpaceHead',
    'EncoderLayer',
    'ExpertFeedForward',
    'IMPPretrain',
    'Pair',
    'PairContrast',
    'SharedEncoder',
    'TextEmbedding',
    'VisualEmbedding',
    'choose_tokens',
    'pair_loss',
]
