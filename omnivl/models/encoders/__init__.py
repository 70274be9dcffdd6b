from .text import TextEmbeddings, TextEncoder
from .visual import UnifiedVisualEncoder

__all__ = ['TextEmbeddings', 'TextEncoder', 'UnifiedVisualEncoder']
