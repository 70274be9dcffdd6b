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
from .log_mel import LogMel, mel_filters
from .pooling import AttentionalPooler
from .pos_embed import fit_space_embedding, resize_space_embedding, resize_time_embedding

__all__ = [
    'AttentionalPooler',
    'CrossAttention',
    'CrossAttentionBlock',
    'FactorisedPositions',
    'FeedForward',
    'FeedForwardBlock',
    'LogMel',
    'SelfAttention',
    'SelfAttentionBlock',
    'SpaceTimeBlock',
    'TransformerLayer',
    'drop_tokens',
    'fit_space_embedding',
    'make_drop_path',
    'mel_filters',
    'resize_space_embedding',
    'resize_time_embedding',
]
