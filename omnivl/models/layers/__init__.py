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
from .log_mel import LogMel, mel_filters
from .pooling import AttentionalPooler
from .pos_embed import fit_space_embedding, resize_space_embedding, resize_time_embedding

__all__ = [
    'AttentionalPooler',
    'CrossAttention',
    'CrossAttentionBlock',
    'FeedForward',
    'FeedForwardBlock',
    'LogMel',
    'SelfAttention',
    'SelfAttentionBlock',
    'SpaceTimeBlock',
    'TransformerLayer',
    'fit_space_embedding',
    'make_drop_path',
    'mel_filters',
    'resize_space_embedding',
    'resize_time_embedding',
]
