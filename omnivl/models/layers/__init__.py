from .attention import CrossAttention, SelfAttention
from .blocks import (
    CrossAttentionBlock,
    FeedForward,
    FeedForwardBlock,
    SelfAttentionBlock,
    SpaceTimeBlock,
    TransformerLayer,
)
from .drop_path import DropPath
from .pooling import AttentionalPooler
from .pos_embed import fit_space_embedding, resize_space_embedding, resize_time_embedding

__all__ = [
    'AttentionalPooler',
    'CrossAttention',
    'CrossAttentionBlock',
    'DropPath',
    'FeedForward',
    'FeedForwardBlock',
    'SelfAttention',
    'SelfAttentionBlock',
    'SpaceTimeBlock',
    'TransformerLayer',
    'fit_space_embedding',
    'resize_space_embedding',
    'resize_time_embedding',
]
