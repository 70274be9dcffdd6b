from .export import export_folder, load_exported
from .export_blip import export_blip
from .gallery import Gallery, StaleIndexError
from .inferencer import OmniVLInferencer

__all__ = ['Gallery', 'OmniVLInferencer', 'StaleIndexError', 'export_blip', 'export_folder', 'load_exported']
