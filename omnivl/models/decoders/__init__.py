from .alignment import AlignmentDecoder
from .base import share_like_blip
from .generation import GenerationDecoder

__all__ = ['AlignmentDecoder', 'GenerationDecoder', 'share_like_blip']
