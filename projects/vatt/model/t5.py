"""The text encoder that VATT has where modalities do not share one: that of T5 (1910.10683) over word embeddings."""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.layers import TransformerLayer
from omnivl.models.layers.recompute import Recompute
from omnivl.registry import MODELS
from omnivl.structures import TextFeatures

from .encoders import check_length
from .layers import Backbone, init_glorot


def relative_buckets(length: int, count: int, farthest: int) -> Tensor:
    """Give distances between tokens the numbers of their buckets, as T5 does (1910.10683).

    Half of the buckets are for tokens that stand behind. Of each half, half are of one distance; the others grow with
    its logarithm up to ``farthest``, and the last holds all that is beyond.

    Args:
        length: Number of tokens L.
        count: Number of buckets.
        farthest: Distance from which on all are one.

    Returns:
        int64 (L, L), of the token that looks and the one that it looks at.
    """
    place = torch.arange(length)
    ahead = place[None] - place[:, None]
    half, single = count // 2, count // 4
    distance = ahead.abs()
    growth = torch.log(distance.clamp(min=1) / single) / math.log(farthest / single)
    far = (single + (growth * (half - single)).long()).clamp(max=half - 1)
    return torch.where(distance < single, distance, far) + half * (ahead > 0)


class T5Norm(nn.RMSNorm):
    """T5's norm, without mean and bias, in full precision as a layer norm is."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Normalise float (..., D)."""
        return super().forward(tokens.float())


@MODELS.register_module()
class VATTT5Encoder(nn.Module):
    """T5's encoder over the embeddings of words, the aggregation token first; relative positions, no others.

    The published code has T5's norm, without mean and bias, before attention, and a usual one before the feed-forward
    layer; GELU; no biases in linear layers. T5 does not scale its scores: the factor that our attention divides by is
    in the weights of its queries.

    Args:
        vocab_size: Number of words V.
        width: Width D of the tokens.
        depth: Number of layers.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        max_length: Longest text in words.
        embed_width: Width of the embeddings.
        train_embeddings: Whether they are trained; in the published code they are word2vec's and stay as they are.
        num_buckets: Number of buckets of distances.
        farthest: See ``relative_buckets``.
        dropout: Rate of attention weights, hidden values and outputs.
        eps: Of the norms.
        activation_checkpointing: What of the layers is computed again in the backward pass, see ``run_block``.
    """

    def __init__(
        self,
        vocab_size: int = 2**16,
        width: int = 512,
        depth: int = 6,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        max_length: int = 16,
        embed_width: int = 300,
        train_embeddings: bool = False,
        num_buckets: int = 32,
        farthest: int = 64,
        dropout: float = 0.1,
        eps: float = 1e-6,
        activation_checkpointing: Recompute = False,
    ) -> None:
        super().__init__()
        if num_buckets < 4 or num_buckets % 4 or farthest <= num_buckets // 4:
            raise OmniVLValueError(
                f'num_buckets must be a multiple of 4 and farthest above a quarter of it, got {num_buckets} and '
                f'{farthest} (model.trunk.text_encoder)'
            )
        self.width, self.max_length = width, max_length
        self.num_buckets, self.farthest = num_buckets, farthest
        self.word = nn.Embedding(vocab_size, embed_width).requires_grad_(train_embeddings)
        self.agg_token = nn.Parameter(torch.empty(embed_width))
        nn.init.trunc_normal_(self.agg_token, std=embed_width**-0.5, a=-2 * embed_width**-0.5, b=2 * embed_width**-0.5)
        self.before = nn.Sequential(nn.Linear(embed_width, width, bias=False), nn.GELU())
        self.dropout = nn.Dropout(dropout)
        self.distance = nn.Embedding(num_buckets, num_heads)
        nn.init.uniform_(self.distance.weight, -0.05, 0.05)
        self.backbone = Backbone(width, depth, num_heads, mlp_ratio, dropout, eps, activation_checkpointing)
        self.backbone.norm = T5Norm(width, eps=eps)  # type: ignore[assignment]
        for layer in self.backbone.layers:
            cast(TransformerLayer, layer).self_attention.norm = T5Norm(width, eps=eps)  # type: ignore[assignment]
        for part in self.backbone.modules():
            if isinstance(part, nn.Linear):
                part.register_parameter('bias', None)
        init_glorot(self.before)
        self._scale_queries()

    @torch.no_grad()
    def _scale_queries(self) -> None:
        for layer in self.backbone.layers:
            attention = cast(TransformerLayer, layer).self_attention.attention
            attention.qkv.weight[: self.width] *= attention.head_width**0.5

    def forward(self, text_ids: Tensor, text_mask: Tensor) -> TextFeatures:
        """Encode texts, int64 (B, L) with their mask, bool (B, L): tokens (B, 1 + L, D), and the first of them."""
        check_length(text_ids, self.max_length)
        words = self.word(text_ids)
        words = torch.cat([self.agg_token.expand(words.shape[0], 1, -1), words], dim=1)
        buckets = relative_buckets(words.shape[1], self.num_buckets, self.farthest).to(text_ids.device)
        bias = self.distance(buckets).permute(2, 0, 1)  # (h, 1 + L, 1 + L)
        seen = F.pad(text_mask, (1, 0), value=True)[:, None, None]
        tokens = self.backbone(self.dropout(self.before(words)), torch.where(seen, bias, -torch.inf))
        return TextFeatures(tokens, tokens[:, 0])
