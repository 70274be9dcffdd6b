"""What HTML pages are made of: pictures and clips inside one file, examples to look at, templates."""

from .grids import Card, CardGrid, Piece, RetrievalGrid, caption_cards, choose_examples, retrieval_grid, show
from .media import MediaReader
from .render import duration, figure, percent, render

__all__ = [
    'Card',
    'CardGrid',
    'MediaReader',
    'Piece',
    'RetrievalGrid',
    'caption_cards',
    'choose_examples',
    'duration',
    'figure',
    'percent',
    'render',
    'retrieval_grid',
    'show',
]
