from .attention import CrossAttention, SelfAttention
from .blocks import CrossAttentionBlock, FeedForward, FeedForwardBlock, SelfAttentionBlock, SpaceTimeBlock
from .pos_embed import resize_space_embedding, resize_time_embedding

__all__ = [
    'CrossAttention',
    'CrossAttentionBlock',
    'FeedForward',
    'FeedForwardBlock',
    'SelfAttention',
    'SelfAttentionBlock',
    'SpaceTimeBlock',
    'resize_space_embedding',
    'resize_time_embedding',
]
