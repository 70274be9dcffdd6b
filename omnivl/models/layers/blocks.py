"""The blocks that encoders and decoders are made of: pre-norm (ViT, CLIP, GPT) or post-norm (BERT)."""

from collections.abc import Callable
from functools import partial
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError

from ..sharding import Block
from .attention import CrossAttention, KeyValue, SelfAttention
from .linear import Linear


def quick_gelu(values: Tensor) -> Tensor:
    """Approximate GELU as CLIP does, by x * sigmoid(1.702 x)."""
    return F.silu(1.702 * values) / 1.702  # written so, training keeps one tensor of the hidden width less


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    'gelu': F.gelu,
    'gelu_tanh': partial(F.gelu, approximate='tanh'),
    'quick_gelu': quick_gelu,
}


def make_drop_path(rate: float) -> nn.Module:
    """Build stochastic depth (1603.09382) of a residual branch, timm's; rate 0 drops nothing."""
    if not rate:
        return nn.Identity()
    from timm.layers import (
        DropPath,  # reading timm takes longer than building a small model, most of which drop nothing
    )

    return DropPath(rate)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them.

    Args:
        width: Width D of the tokens.
        hidden: Width between the layers.
        activation: ``'gelu'``, the exact one, ``'gelu_tanh'``, GPT-2's and JAX's, or ``'quick_gelu'``, CLIP's.
        dropout: Rate between the layers, in training only.
    """

    def __init__(self, width: int, hidden: int, activation: str = 'gelu', dropout: float = 0.0) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise OmniVLValueError(f'activation must be one of {list(ACTIVATIONS)}, got {activation!r}')
        self.activation = activation
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, tokens: Tensor, norm: nn.Module | None = None) -> Tensor:
        """Map float (..., D) to float (..., D); what the tokens go through first, ``norm``, and GELU are not kept."""
        hidden = self.fc1(tokens) if norm is None else self.fc1.after(norm, tokens)
        activate = ACTIVATIONS[self.activation]
        if isinstance(self.dropout, nn.Dropout):
            return self.fc2(self.dropout(activate(hidden)))
        return self.fc2.after(activate, hidden)


class SpaceTimeBlock(Block):
    """Temporal self-attention, spatial self-attention, feed-forward; each pre-norm and residual.

    Divided attention of TimeSformer (2102.05095, section 3), which OmniVL (2209.07526, section 3.1) takes over. [CLS]
    has no part in temporal attention; spatial attention sees one copy of it per frame, and the copies are averaged.
    An image takes no temporal attention at all: for T = 1 and ``temporal=False`` this is a ViT block.

    Differs from TimeSformer: there the output projection of temporal attention is followed by a second,
    zero-initialised linear layer with nothing in between. Two linear maps in a row are one, so here the output
    projection itself starts at zero; it saves a twelfth of the block's arithmetic, and weights with two layers load
    as their product.

    Args:
        width: Width D of the tokens.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layer over D.
        drop_path: Rate at which a residual branch is dropped for a whole sample, in training only.
        eps: Of the layer norms.
        activation: See ``FeedForward``.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        eps: float = 1e-6,
        activation: str = 'gelu',
    ) -> None:
        super().__init__()
        self.norm_time = nn.LayerNorm(width, eps=eps)
        self.attention_time = SelfAttention(width, num_heads)
        self.norm_space = nn.LayerNorm(width, eps=eps)
        self.attention_space = SelfAttention(width, num_heads)
        self.norm_mlp = nn.LayerNorm(width, eps=eps)
        self.mlp = FeedForward(width, int(width * mlp_ratio), activation)
        self.drop_path = make_drop_path(drop_path)

    def forward(self, tokens: Tensor, temporal: bool) -> Tensor:
        """Run the block.

        Args:
            tokens: One sequence per frame, [CLS] first and equal in all frames; float (B, T, 1 + P, D).
            temporal: Whether to attend over time.

        Returns:
            float (B, T, 1 + P, D), [CLS] again equal in all frames.
        """
        if temporal:
            tokens = tokens + self.drop_path(self.attend_time(tokens))
        tokens = tokens + self.drop_path(self.attend_space(tokens))
        return tokens + self.drop_path(self.mlp(tokens, self.norm_mlp))

    def attend_time(self, tokens: Tensor) -> Tensor:
        """Attend over the frames at each patch position; zeros for [CLS]. float (B, T, 1 + P, D) -> the same."""
        batch, time, _, width = tokens.shape
        patches = tokens[:, :, 1:].transpose(1, 2)  # (B, P, T, D)
        attended, _ = self.attention_time(patches, norm=self.norm_time, brief=True)
        attended = attended.view(batch, -1, time, width).transpose(1, 2)
        return F.pad(attended, (0, 0, 1, 0))  # (B, T, 1 + P, D)

    def attend_space(self, tokens: Tensor) -> Tensor:
        """Attend within each frame and average [CLS] over the frames. float (B, T, 1 + P, D) -> the same."""
        batch, time, length, width = tokens.shape
        attended, _ = self.attention_space(tokens, norm=self.norm_space)
        attended = attended.view(batch, time, length, width)
        if time == 1:
            return attended
        cls = attended[:, :, :1].mean(dim=1, keepdim=True)
        # Not in place: selective recomputation keeps what it would be written into.
        return torch.cat([cls.expand(-1, time, -1, -1), attended[:, :, 1:]], dim=2)


class ResidualOptions(TypedDict, total=False):
    """Arguments of ``Residual`` that its blocks hand on as they are."""

    eps: float
    norm_first: bool
    drop_path: float


class Residual(Block):
    """What stands around a branch: a norm, dropout and the way past it.

    Post-norm, ``norm(x + dropout(branch(x)))``, is BERT's; pre-norm, ``x + dropout(branch(norm(x)))``, that of ViT,
    CLIP and GPT, and needs another norm after the last block.

    Args:
        width: Width D of the tokens.
        dropout: Dropout rate of the branch's output.
        eps: Of the layer norm.
        norm_first: Whether it is pre-norm.
        drop_path: Rate at which the branch is dropped for a whole sample, in training only.
    """

    def __init__(
        self, width: int, dropout: float, eps: float = 1e-12, norm_first: bool = False, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first
        self.drop_path = make_drop_path(drop_path)

    def enter(self, tokens: Tensor) -> Tensor:
        """Give what the branch reads, float (N, L, D), of the tokens, float (N, L, D)."""
        return self.norm(tokens) if self.norm_first else tokens

    def leave(self, tokens: Tensor, branch: Tensor) -> Tensor:
        """Add the branch's output to the tokens, both float (N, L, D)."""
        tokens = tokens + self.drop_path(self.dropout(branch))
        return tokens if self.norm_first else self.norm(tokens)


class SelfAttentionBlock(Residual):
    """Self-attention with its residual.

    Args:
        width: Width D of the tokens.
        num_heads: Number of heads.
        dropout: Dropout rate of the attention weights and of the output.
        qk_norm: See ``SelfAttention``.
        **residual: See ``Residual``.
    """

    entries = ('forward', 'first')

    def __init__(
        self,
        width: int,
        num_heads: int,
        dropout: float = 0.1,
        qk_norm: bool = False,
        **residual: Unpack[ResidualOptions],
    ) -> None:
        super().__init__(width, dropout, **residual)
        self.attention = SelfAttention(width, num_heads, dropout, qk_norm)

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, causal: bool = False, past: KeyValue | None = None
    ) -> tuple[Tensor, KeyValue]:
        """See ``SelfAttention.forward``."""
        norm = self.norm if self.norm_first else None
        attended, present = self.attention(tokens, mask, causal, past, norm)
        return self.leave(tokens, attended), present

    def first(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Give the first token of what ``forward`` gives, float (N, 1, D), in less time: see ``SelfAttention``."""
        return self.leave(tokens[:, :1], self.attention.first(self.enter(tokens), mask))


class CrossAttentionBlock(Residual):
    """Cross-attention to other tokens, mostly visual ones, with its residual.

    Args:
        width: Width D of the tokens.
        visual_width: Width of the tokens that are looked at.
        num_heads: Number of heads.
        dropout: Dropout rate of the attention weights and of the output.
        norm_visual: Whether what is looked at gets a layer norm of its own (pre-norm stacks give it without one).
        **residual: See ``Residual``.
    """

    entries = ('forward', 'project_visual', 'look_directly')

    def __init__(
        self,
        width: int,
        visual_width: int,
        num_heads: int,
        dropout: float = 0.1,
        norm_visual: bool = False,
        **residual: Unpack[ResidualOptions],
    ) -> None:
        super().__init__(width, dropout, **residual)
        self.attention = CrossAttention(width, visual_width, num_heads, dropout)
        self.norm_visual = nn.LayerNorm(visual_width, eps=self.norm.eps) if norm_visual else nn.Identity()

    def project_visual(self, visual_tokens: Tensor) -> KeyValue:
        """Make keys and values, each (B, h, S, d), of visual tokens, float (B, S, visual_width)."""
        return self.attention.project_visual(self.norm_visual(visual_tokens))

    def forward(
        self,
        tokens: Tensor,
        key_value: KeyValue,
        visual_index: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        """See ``CrossAttention.forward``."""
        return self.leave(tokens, self.attention(self.enter(tokens), key_value, visual_index, key_mask))

    def look_directly(self, tokens: Tensor, visual_tokens: Tensor) -> Tensor:
        """Do as ``forward`` with ``project_visual``, in less time for a few queries: see ``CrossAttention``."""
        return self.leave(tokens, self.attention.look_directly(self.enter(tokens), self.norm_visual(visual_tokens)))


class FeedForwardBlock(Residual):
    """Feed-forward with its residual.

    Args:
        width: Width D of the tokens.
        hidden: Width between the two linear layers.
        dropout: Dropout rate of the output.
        mlp: What to take instead of two linear layers with a GELU, float (..., D) to float (..., D).
        **residual: See ``Residual``.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        dropout: float = 0.1,
        mlp: nn.Module | None = None,
        **residual: Unpack[ResidualOptions],
    ) -> None:
        super().__init__(width, dropout, **residual)
        self.mlp = FeedForward(width, hidden) if mlp is None else mlp

    def forward(self, tokens: Tensor) -> Tensor:
        """Map float (N, L, D) to float (N, L, D)."""
        return self.leave(tokens, self.mlp(self.enter(tokens)))


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention where there is something to look at, feed-forward.

    Post-norm it is BERT's layer and, with cross-attention, that of BLIP's decoders; pre-norm that of CLIP and GPT.

    Args:
        width: Width D of the tokens.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layer over D.
        dropout: Dropout rate of attention weights and outputs.
        visual_width: Width of the tokens that are looked at; None = no cross-attention.
        norm_visual: See ``CrossAttentionBlock``.
        mlp: See ``FeedForwardBlock``.
        **residual: See ``Residual``, of all blocks.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        visual_width: int | None = None,
        norm_visual: bool = False,
        mlp: nn.Module | None = None,
        **residual: Unpack[ResidualOptions],
    ) -> None:
        super().__init__()
        self.self_attention = SelfAttentionBlock(width, num_heads, dropout, **residual)
        if visual_width is not None:
            self.cross_attention = CrossAttentionBlock(width, visual_width, num_heads, dropout, norm_visual, **residual)
        self.feed_forward = FeedForwardBlock(width, int(width * mlp_ratio), dropout, mlp, **residual)

    def forward(
        self,
        tokens: Tensor,
        key_value: KeyValue | None = None,
        visual_index: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        past: KeyValue | None = None,
        key_mask: Tensor | None = None,
    ) -> tuple[Tensor, KeyValue]:
        """Run the layer.

        Args:
            tokens: float (N, L, D).
            key_value: From ``cross_attention.project_visual``, each (B, h, S, d); None where there is none.
            visual_index: See ``CrossAttention.forward``.
            mask: Of self-attention, see ``SelfAttention.forward``.
            causal: See ``SelfAttention.forward``.
            past: See ``SelfAttention.forward``.
            key_mask: Of cross-attention, see ``CrossAttention.forward``.

        Returns:
            float (N, L, D), and the keys and values of self-attention.
        """
        tokens, present = self.self_attention(tokens, mask, causal, past)
        if key_value is not None:
            tokens = self.cross_attention(tokens, key_value, visual_index, key_mask)
        return self.feed_forward(tokens), present

    def first(
        self,
        tokens: Tensor,
        key_value: KeyValue | None = None,
        visual_index: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Run the layer for its first token alone, where nothing comes after it: float (N, L, D) to (N, 1, D)."""
        tokens = self.self_attention.first(tokens, mask)
        if key_value is not None:
            tokens = self.cross_attention(tokens, key_value, visual_index)
        return self.feed_forward(tokens)
