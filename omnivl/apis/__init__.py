from .gallery import Gallery, StaleIndexError
from .inferencer import OmniVLInferencer

__all__ = ['Gallery', 'OmniVLInferencer', 'StaleIndexError']
