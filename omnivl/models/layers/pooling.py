"""Pooling by attention: learned queries look at all tokens (CoCa, 2205.01917, section 3.2)."""

import torch
from torch import Tensor, nn

from .attention import CrossAttention


class AttentionalPooler(nn.Module):
    """As many vectors as there are learned queries, of any number of tokens: one cross-attention, without a residual.

    Queries and tokens have a layer norm each before it, as in open_clip.

    Args:
        width: Width D of the queries and of the result.
        visual_width: Width of the tokens that are looked at.
        num_heads: Number of heads.
        num_queries: Number of queries n.
        eps: Of the layer norms.
    """

    def __init__(self, width: int, visual_width: int, num_heads: int, num_queries: int = 1, eps: float = 1e-5) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(num_queries, width))
        self.norm_query = nn.LayerNorm(width, eps=eps)
        self.norm_tokens = nn.LayerNorm(visual_width, eps=eps)
        self.attention = CrossAttention(width, visual_width, num_heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """Pool tokens, float (B, S, visual_width), to float (B, n, D)."""
        query = self.norm_query(self.query).expand(tokens.shape[0], -1, -1)
        tokens = self.norm_tokens(tokens)
        if query.shape[1] < self.attention.head_width:
            return self.attention.look_directly(query, tokens)
        return self.attention(query, self.attention.project_visual(tokens))
