"""Self- and cross-attention, shared by the visual encoder, the text encoder and both decoders."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError

from .linear import Linear

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
    """

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.head_width = check_heads(width, num_heads)
        self.num_heads = num_heads
        self.dropout = dropout
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, causal: bool = False, past: KeyValue | None = None
    ) -> tuple[Tensor, KeyValue]:
        """Attend within each sequence.

        Args:
            tokens: float (N, L, D).
            mask: bool, broadcastable to (N, h, L, L), True = may be attended to.
            causal: Token i sees tokens 0..i only (and all of ``past``).
            past: Keys and values of the tokens before these, each (N, h, L_past, d).

        Returns:
            The result, float (N, L, D), and the keys and values of all tokens so far, each (N, h, L_past + L, d).
        """
        batch, length, width = tokens.shape
        qkv = self.qkv(tokens).view(batch, length, 3, self.num_heads, self.head_width)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (N, h, L, d)
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
        return self.proj(attended.transpose(1, 2).reshape(batch, length, width)), (key, value)

    def first(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Do as ``forward`` for the first token of each sequence alone, which looks at all.

        Args:
            tokens: float (N, L, D).
            mask: bool, broadcastable to (N, h, 1, L), True = may be attended to.

        Returns:
            float (N, 1, D).
        """
        batch, length, width = tokens.shape
        weight, bias = self.qkv.weight, self.qkv.bias
        query = F.linear(tokens[:, :1], weight[:width], bias[:width])
        query = query.view(batch, 1, self.num_heads, self.head_width).transpose(1, 2)  # (N, h, 1, d)
        key_value = F.linear(tokens, weight[width:], bias[width:])
        key_value = key_value.view(batch, length, 2, self.num_heads, self.head_width)
        key, value = key_value.permute(2, 0, 3, 1, 4).unbind(0)  # each (N, h, L, d)
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
        batch, length, _ = visual_tokens.shape
        key_value = self.key_value(visual_tokens).view(batch, length, 2, self.num_heads, self.head_width)
        key, value = key_value.permute(2, 0, 3, 1, 4).unbind(0)
        if torch.is_grad_enabled():
            return key, value
        # Looked up at every step of a decoder: laid out head by head, that takes two thirds of the time.
        return key.contiguous(), value.contiguous()

    def forward(
        self,
        tokens: Tensor,
        key_value: KeyValue,
        visual_index: Tensor | None = None,
        key_mask: Tensor | None = None,
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
        key, value = key_value
        if visual_index is not None and tokens.device.type == 'cpu' and not torch.is_grad_enabled():
            return self._visual_by_visual(tokens, key_value, visual_index, key_mask)
        if visual_index is not None:
            key, value = key.index_select(0, visual_index), value.index_select(0, visual_index)
            key_mask = None if key_mask is None else key_mask.index_select(0, visual_index)
        visuals = key.shape[0]  # not len(key): what traces a model for another batch size cannot see through len
        if count % visuals:
            raise OmniVLValueError(f'{count} texts cannot be grouped evenly over {visuals} visuals; give visual_index')
        query = self.query(tokens).view(visuals, -1, self.num_heads, self.head_width).transpose(1, 2)
        attended = self._look_up(query, key, value, key_mask)
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

    def _look_up(self, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None) -> Tensor:
        """Attend with one query for each of B visuals, however long: float (B, h, G * L, d) to the same shape."""
        mask = None if key_mask is None else key_mask[:, None, None]  # (B, 1, 1, S)
        return F.scaled_dot_product_attention(query, key, value, mask, self.dropout if self.training else 0.0)

    def _visual_by_visual(
        self, tokens: Tensor, key_value: KeyValue, visual_index: Tensor, key_mask: Tensor | None
    ) -> Tensor:
        """Do as ``forward`` without a copy of keys and values for each text, which on a CPU takes longer than the rest.

        Neighbours in the batch that look at the same visual are taken together.
        """
        count, length, width = tokens.shape
        query = self.query(tokens).view(count * length, self.num_heads, self.head_width)
        visuals, runs = torch.unique_consecutive(visual_index, return_counts=True)
        attended = []
        for visual, part in zip(visuals.tolist(), query.split((runs * length).tolist())):
            key, value = (tensor[visual : visual + 1] for tensor in key_value)
            mask = None if key_mask is None else key_mask[visual : visual + 1]
            found = self._look_up(part.transpose(0, 1)[None], key, value, mask)  # (1, h, n * L, d)
            attended.append(found[0].transpose(0, 1))
        return self.proj(torch.cat(attended).reshape(count, length, width))
