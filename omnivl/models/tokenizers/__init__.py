from .image import ImageTokenizer
from .text import PretrainedTokenizer, TextTokenizer, WordPieceTokenizer
from .video import VideoTokenizer

__all__ = ['ImageTokenizer', 'PretrainedTokenizer', 'TextTokenizer', 'VideoTokenizer', 'WordPieceTokenizer']
