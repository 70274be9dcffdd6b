"""Self- and cross-attention, shared by the visual encoder, the text encoder and both decoders."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from omnivl.errors import OmniVLValueError

from .linear import Linear, keeps_less, on_cpu

KeyValue = tuple[Tensor, Tensor]


def check_heads(width: int, num_heads: int) -> int:
    """Return the width of one head, or raise an error when ``width`` does not divide into ``num_heads``."""
    if width % num_heads:
        raise OmniVLValueError(f'width must be a multiple of num_heads, got width={width} and num_heads={num_heads}')
    return width // num_heads


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection for queries, keys and values.

    Args:
        width: Width D of the tokens.
        num_heads: Number of heads h; D must be a multiple of it.
        dropout: Dropout rate of the attention weights, in training only.
        qk_norm: Whether queries and keys have a layer norm over the width of a head, the same for all heads, so that
            scores cannot grow without bound (ViT-22B, 2302.05442, section 2).
    """

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0, qk_norm: bool = False) -> None:
        super().__init__()
        self.head_width = check_heads(width, num_heads)
        self.num_heads = num_heads
        self.dropout = dropout
        self.qk_norm = qk_norm
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        self.norm_query = nn.LayerNorm(self.head_width, eps=1e-6) if qk_norm else nn.Identity()
        self.norm_key = nn.LayerNorm(self.head_width, eps=1e-6) if qk_norm else nn.Identity()

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        past: KeyValue | None = None,
        norm: nn.Module | None = None,
        brief: bool = False,
    ) -> tuple[Tensor, KeyValue]:
        """Attend within each sequence.

        Args:
            tokens: float (N, L, D), or with more dimensions for the N sequences.
            mask: bool, broadcastable to (N, h, L, L), True = may be attended to.
            causal: Token i sees tokens 0..i only (and all of ``past``).
            past: Keys and values of the tokens before these, each (N, h, L_past, d).
            norm: What the tokens go through first; its output is not kept, see ``Linear.after``.
            brief: Whether sequences are so short that attention is little work, too, and is made again like that.

        Returns:
            The result, float (N, L, D), and the keys and values of all tokens so far, each (N, h, L_past + L, d).
        """
        length = tokens.shape[-2]
        qkv = (self.qkv(tokens) if norm is None else self.qkv.after(norm, tokens)).flatten(0, -3)
        query, key, value = split_heads(qkv, 3, self.num_heads)
        if brief and mask is None and past is None and not (causal or self.dropout or self.qk_norm):
            return self.proj.after(partial(_attend, num_heads=self.num_heads), qkv), (key, value)
        query, key = self.norm_query(query), self.norm_key(key)
        if past is not None:
            key = torch.cat([past[0], key], dim=2)
            value = torch.cat([past[1], value], dim=2)
            if causal and length > 1:  # SDPA's own causal mask is aligned to the first key, not to the last
                mask = torch.ones(length, key.shape[2], dtype=torch.bool, device=key.device).tril(key.shape[2] - length)
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal and past is None,
        )
        return self.proj(attended.transpose(1, 2).flatten(2)), (key, value)

    def first(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Do as ``forward`` for the first token of each sequence alone, which looks at all.

        Args:
            tokens: float (N, L, D).
            mask: bool, broadcastable to (N, h, 1, L), True = may be attended to.

        Returns:
            float (N, 1, D).
        """
        batch, _, width = tokens.shape
        weight, bias = self.qkv.weight, self.qkv.bias
        query = F.linear(tokens[:, :1], weight[:width], bias[:width])
        query = query.view(batch, 1, self.num_heads, self.head_width).transpose(1, 2)  # (N, h, 1, d)
        key, value = split_heads(F.linear(tokens, weight[width:], bias[width:]), 2, self.num_heads)
        query, key = self.norm_query(query), self.norm_key(key)
        rate = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        return self.proj(attended.transpose(1, 2).reshape(batch, 1, width))


class CrossAttention(nn.Module):
    """Attention from text tokens to visual tokens, whose keys and values are made once and used many times.

    Args:
        width: Width D of the text tokens.
        visual_width: Width of the visual tokens.
        num_heads: Number of heads h.
        dropout: Dropout rate of the attention weights, in training only.
    """

    def __init__(self, width: int, visual_width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.head_width = check_heads(width, num_heads)
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = Linear(width, width)
        self.key_value = Linear(visual_width, 2 * width)
        self.proj = Linear(width, width)

    def project_visual(self, visual_tokens: Tensor) -> KeyValue:
        """Make keys and values, each (B, h, S, d), of visual tokens, float (B, S, visual_width)."""
        key, value = split_heads(self.key_value(visual_tokens), 2, self.num_heads)
        if torch.is_grad_enabled():
            return key, value
        # Looked up at every step of a decoder: laid out head by head, that takes two thirds of the time.
        return key.contiguous(), value.contiguous()

    def forward(
        self, tokens: Tensor, key_value: KeyValue, visual_index: Tensor | None = None, key_mask: Tensor | None = None
    ) -> Tensor:
        """Attend from N texts to B visuals.

        Queries do not see each other, so all texts of one visual can be laid end to end into one long query: its keys
        and values are then neither copied nor reordered, however many texts (captions, beams) it has.

        Args:
            tokens: Text tokens, float (N, L, D).
            key_value: From ``project_visual``, each (B, h, S, d).
            visual_index: The visual of each text, int64 (N,); without it, N = B * G and texts are grouped by visual.
            key_mask: What may be attended to, bool (B, S), where the keys are padded; None = everything.

        Returns:
            float (N, L, D).
        """
        count, length, width = tokens.shape
        visuals = key_value[0].shape[0]  # not len: what traces a model for another batch size cannot see through len
        if visual_index is None and count % visuals:
            raise OmniVLValueError(f'{count} texts cannot be grouped evenly over {visuals} visuals; give visual_index')
        rate = self.dropout if self.training else 0.0
        # On a CPU copies of keys and values take longer than the rest, and dropout keeps attention from being fused; a
        # GPU would be waited for.
        if (visual_index is not None or rate) and on_cpu(tokens):
            arguments = self.query(tokens), key_value, visual_index, key_mask, rate
            if rate and keeps_less():
                return self.proj(checkpoint(self._visual_by_visual, *arguments, use_reentrant=False))
            return self.proj(self._visual_by_visual(*arguments))
        groups = count if visual_index is not None else visuals
        query = self.query(tokens).view(groups, -1, self.num_heads, self.head_width).transpose(1, 2)
        if visual_index is None:
            attended = _look_up(query, *key_value, key_mask, rate)
        # Copies for each pair are not kept, but made again in the backward pass; on meta, operations count once.
        elif torch.is_grad_enabled() and not tokens.is_meta:
            attended = checkpoint(_look_up, query, *key_value, key_mask, rate, visual_index, use_reentrant=False)
        else:
            attended = _look_up(query, *key_value, key_mask, rate, visual_index)
        return self.proj(attended.transpose(1, 2).reshape(count, length, width))

    def look_directly(self, tokens: Tensor, visual_tokens: Tensor) -> Tensor:
        """Do as ``forward`` with ``project_visual``, without keys and values: cheaper for fewer queries than d.

        Scores are bilinear in query and token, and what is read is linear in the tokens, so both projections move to
        the side of the query: W_k^T q takes the place of the query and W_v stands behind the sum over tokens. A bias of
        the keys adds the same to all scores of a query and makes no difference.

        Args:
            tokens: Queries, float (B, L, D).
            visual_tokens: float (B, S, visual_width).

        Returns:
            float (B, L, D).
        """
        batch, length, width = tokens.shape
        key, value = self.key_value.weight.view(2, self.num_heads, self.head_width, -1)  # each (h, d, visual_width)
        query = self.query(tokens).view(batch, length, self.num_heads, self.head_width)
        query = torch.einsum('blhd,hdc->blhc', query, key).reshape(batch, 1, -1, visual_tokens.shape[-1])
        seen = visual_tokens.unsqueeze(1)
        rate = self.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(query, seen, seen, dropout_p=rate, scale=self.head_width**-0.5)
        read = read.view(batch, length, self.num_heads, -1)
        attended = torch.einsum('blhc,hdc->blhd', read, value).reshape(batch, length, width)
        return self.proj(attended + self.key_value.bias[width:])

    def _visual_by_visual(
        self, query: Tensor, key_value: KeyValue, visual_index: Tensor | None, key_mask: Tensor | None, rate: float
    ) -> Tensor:
        """Look up visual after visual, each with the queries of all its texts in one: float (N, L, D) to the same."""
        count, length, width = query.shape
        visuals = key_value[0].shape[0]
        order, runs = None, [count // visuals] * visuals
        if visual_index is not None:
            order, runs = visual_index.argsort(stable=True), visual_index.bincount(minlength=visuals).tolist()
            query = query.index_select(0, order)
        parts = query.view(count * length, self.num_heads, self.head_width).split([run * length for run in runs])
        masks = [None] * visuals if key_mask is None else key_mask[:, None].unbind()
        read = [
            _look_up(part.transpose(0, 1)[None], key[None], value[None], mask, rate)[0].transpose(0, 1)
            for part, key, value, mask in zip(parts, key_value[0].unbind(), key_value[1].unbind(), masks)
            if part.shape[0]
        ]
        attended = torch.cat(read).view(count, length, width)
        return attended if order is None else attended.index_select(0, order.argsort())


def _attend(joined: Tensor, num_heads: int) -> Tensor:
    """Attend with queries, keys and values as one projection makes them: float (N, L, 3 * D) to (N, L, D)."""
    query, key, value = split_heads(joined, 3, num_heads)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def split_heads(joined: Tensor, parts: int, num_heads: int) -> tuple[Tensor, ...]:
    """Split what one projection makes, float (N, L, parts * D), into its parts by heads, each (N, h, L, d).

    The parts are taken apart where they lie, so that their gradients are put together by one copy.
    """
    batch, length, _ = joined.shape
    split = joined.view(batch, length, parts, num_heads, -1).unbind(2)
    return tuple(part.transpose(1, 2) for part in split)


def _look_up(
    query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None, rate: float, visual_index: Tensor | None = None
) -> Tensor:
    """Attend with one query for each of B visuals, however long, or for N texts with the visual of each.

    Args:
        query: float (B, h, G * L, d), or (N, h, L, d).
        key: float (B, h, S, d).
        value: float (B, h, S, d).
        key_mask: bool (B, S).
        rate: Of dropout.
        visual_index: int64 (N,).

    Returns:
        As the query.
    """
    if visual_index is not None:
        key, value = key.index_select(0, visual_index), value.index_select(0, visual_index)
        key_mask = None if key_mask is None else key_mask.index_select(0, visual_index)
    mask = None if key_mask is None else key_mask[:, None, None]  # (B, 1, 1, S)
    if not (rate and on_cpu(query)):
        return F.scaled_dot_product_attention(query, key, value, mask, rate)
    # The same, where PyTorch would make, and keep for the backward pass, a scaled copy of the keys.
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
    return F.dropout(scores.softmax(dim=-1), rate) @ value
