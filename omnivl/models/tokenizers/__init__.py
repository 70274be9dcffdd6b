from .image import ImageTokenizer
from .text import WordPieceTokenizer
from .video import VideoTokenizer

__all__ = ['ImageTokenizer', 'VideoTokenizer', 'WordPieceTokenizer']
