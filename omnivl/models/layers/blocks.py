"""The blocks that encoders and decoders are made of: pre-norm for vision (ViT), post-norm for text (BERT)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError

from .attention import CrossAttention, KeyValue, SelfAttention
from .linear import Linear


def quick_gelu(values: Tensor) -> Tensor:
    """Approximate GELU as CLIP does, by x * sigmoid(1.702 x)."""
    return values * torch.sigmoid(1.702 * values)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {'gelu': F.gelu, 'quick_gelu': quick_gelu}


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them.

    Args:
        width: Width D of the tokens.
        hidden: Width between the layers.
        activation: ``'gelu'``, the exact one, or ``'quick_gelu'``, CLIP's.
    """

    def __init__(self, width: int, hidden: int, activation: str = 'gelu') -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise OmniVLValueError(f'activation must be one of {list(ACTIVATIONS)}, got {activation!r}')
        self.activation = activation
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map float (..., D) to float (..., D)."""
        return self.fc2(ACTIVATIONS[self.activation](self.fc1(tokens)))


class SpaceTimeBlock(nn.Module):
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
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

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
        return tokens + self.drop_path(self.mlp(self.norm_mlp(tokens)))

    def attend_time(self, tokens: Tensor) -> Tensor:
        """Attend over the frames at each patch position; zeros for [CLS]. float (B, T, 1 + P, D) -> the same."""
        batch, time, _, width = tokens.shape
        patches = self.norm_time(tokens[:, :, 1:].transpose(1, 2))  # (B, P, T, D)
        attended, _ = self.attention_time(patches.reshape(-1, time, width))
        attended = attended.view(batch, -1, time, width).transpose(1, 2)
        return F.pad(attended, (0, 0, 1, 0))  # (B, T, 1 + P, D)

    def attend_space(self, tokens: Tensor) -> Tensor:
        """Attend within each frame and average [CLS] over the frames. float (B, T, 1 + P, D) -> the same."""
        batch, time, length, width = tokens.shape
        attended, _ = self.attention_space(self.norm_space(tokens).view(-1, length, width))
        attended = attended.view(batch, time, length, width)
        if time > 1:
            attended[:, :, 0] = attended[:, :, 0].mean(dim=1, keepdim=True)
        return attended


class SelfAttentionBlock(nn.Module):
    """Self-attention, residual, layer norm, as in BERT.

    Args:
        width: Width D of the tokens.
        num_heads: Number of heads.
        dropout: Dropout rate of the attention weights and of the output.
        eps: Of the layer norm.
    """

    def __init__(self, width: int, num_heads: int, dropout: float = 0.1, eps: float = 1e-12) -> None:
        super().__init__()
        self.attention = SelfAttention(width, num_heads, dropout)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, causal: bool = False, past: KeyValue | None = None
    ) -> tuple[Tensor, KeyValue]:
        """See ``SelfAttention.forward``."""
        attended, present = self.attention(tokens, mask, causal, past)
        return self.norm(tokens + self.dropout(attended)), present


class CrossAttentionBlock(nn.Module):
    """Cross-attention to visual tokens, residual, layer norm, as in BLIP's image-grounded encoder.

    Args:
        width: Width D of the text tokens.
        visual_width: Width of the visual tokens.
        num_heads: Number of heads.
        dropout: Dropout rate of the attention weights and of the output.
        eps: Of the layer norm.
    """

    def __init__(self, width: int, visual_width: int, num_heads: int, dropout: float = 0.1, eps: float = 1e-12) -> None:
        super().__init__()
        self.attention = CrossAttention(width, visual_width, num_heads, dropout)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Tensor,
        key_value: KeyValue,
        visual_index: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        """See ``CrossAttention.forward``."""
        return self.norm(tokens + self.dropout(self.attention(tokens, key_value, visual_index, key_mask)))


class FeedForwardBlock(nn.Module):
    """Feed-forward, residual, layer norm, as in BERT.

    Args:
        width: Width D of the tokens.
        hidden: Width between the two linear layers.
        dropout: Dropout rate of the output.
        eps: Of the layer norm.
    """

    def __init__(self, width: int, hidden: int, dropout: float = 0.1, eps: float = 1e-12) -> None:
        super().__init__()
        self.mlp = FeedForward(width, hidden)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map float (N, L, D) to float (N, L, D)."""
        return self.norm(tokens + self.dropout(self.mlp(tokens)))
