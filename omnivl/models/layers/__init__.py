from .attention import CrossAttention, SelfAttention
from .blocks import (
    CrossAttentionBlock,
    FeedForward,
    FeedForwardBlock,
    SelfAttentionBlock,
    SpaceTimeBlock,
    TransformerLayer,
    make_drop_path,
)
from .drop_tokens import drop_tokens
from .factorised_positions import FactorisedPositions
from .pooling import AttentionalPooler
from .pos_embed import fit_space_embedding, resize_space_embedding, resize_time_embedding

__all__ = [
    'AttentionalPooler',
    'CrossAttention',
    'CrossAttentionBlock',
    'FactorisedPositions',
    'FeedForward',
    'FeedForwardBlock',
    'SelfAttention',
    'SelfAttentionBlock',
    'SpaceTimeBlock',
    'TransformerLayer',
    'drop_tokens',
    'fit_space_embedding',
    'make_drop_path',
    'resize_space_embedding',
    'resize_time_embedding',
]
