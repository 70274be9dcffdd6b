from .audio import SpectrogramTokenizer, WaveformTokenizer
from .byte_pair import BytePairTokenizer
from .image import ImageTokenizer
from .text import PretrainedTokenizer, TextTokenizer, WordPieceTokenizer
from .video import VideoTokenizer

__all__ = [
    'BytePairTokenizer',
    'ImageTokenizer',
    'PretrainedTokenizer',
    'SpectrogramTokenizer',
    'TextTokenizer',
    'VideoTokenizer',
    'WaveformTokenizer',
    'WordPieceTokenizer',
]
