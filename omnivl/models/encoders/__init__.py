from .causal_text import CausalTextEncoder
from .image import ImageEncoder
from .text import TextEmbeddings, TextEncoder
from .visual import UnifiedVisualEncoder

__all__ = ['CausalTextEncoder', 'ImageEncoder', 'TextEmbeddings', 'TextEncoder', 'UnifiedVisualEncoder']
