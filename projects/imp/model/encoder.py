"""The one transformer that reads all modalities (IMP, 2305.06324, section 3)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.layers import FeedForward, FeedForwardBlock, SelfAttentionBlock
from omnivl.models.layers.blocks import ResidualOptions
from omnivl.models.layers.recompute import Recompute, check_recompute, run_block
from omnivl.registry import MODELS

from .experts import ExpertBlock

EPS = 1e-6  # of all layer norms, as in IMP's code


class EncoderLayer(nn.Module):
    """Self-attention, and a feed-forward layer or experts; pre-norm.

    Args:
        width: Width D of the tokens.
        num_heads: Number of heads.
        hidden: Width inside of feed-forward layers.
        qk_norm: See ``SelfAttention``.
        experts: Arguments of ``ExpertFeedForward``; None = a feed-forward layer.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden: int,
        qk_norm: bool,
        experts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        residual = ResidualOptions(eps=EPS, norm_first=True)
        self.self_attention = SelfAttentionBlock(width, num_heads, 0.0, qk_norm, **residual)
        self.is_sparse = experts is not None
        if experts is not None:
            self.feed_forward: nn.Module = ExpertBlock(width, hidden, experts, **residual)
        else:
            self.feed_forward = FeedForwardBlock(
                width, hidden, 0.0, FeedForward(width, hidden, 'gelu_tanh'), **residual
            )

    def forward(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Map float (B, S, D), of which bool (B, S) are real, to float (B, S, D)."""
        tokens, _ = self.self_attention(tokens, None if real is None else may_be_seen(real)[:, None, None])
        return self.feed_forward(tokens, real) if self.is_sparse else self.feed_forward(tokens)


@MODELS.register_module()
class SharedEncoder(nn.Module):
    """A transformer over the tokens of any modality; it does not know which.

    As published, but for the layer norm behind the last layer, nothing in it has a bias.

    Args:
        width: Width D of the tokens.
        depth: Number of layers.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        qk_norm: Whether queries and keys have norms; the published models with experts have them.
        num_sparse: Number of layers with experts, which are the last ones.
        experts: Further arguments of ``ExpertFeedForward``.
        activation_checkpointing: What of the layers is computed again in the backward pass, see ``run_block``.
    """

    def __init__(
        self,
        width: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        qk_norm: bool = False,
        num_sparse: int = 0,
        experts: Mapping[str, Any] | None = None,
        activation_checkpointing: Recompute = False,
    ) -> None:
        super().__init__()
        if not 0 <= num_sparse <= depth:
            raise OmniVLValueError(
                f'num_sparse must be from 0 to depth={depth}, got {num_sparse} (set encoder.num_sparse)'
            )
        self.width = width
        self.activation_checkpointing = check_recompute(activation_checkpointing)
        hidden, sparse = round(width * mlp_ratio), dict(experts or {})
        self.layers = nn.ModuleList(
            EncoderLayer(width, num_heads, hidden, qk_norm, sparse if number >= depth - num_sparse else None)
            for number in range(depth)
        )
        drop_biases(self.layers)
        init_fan_in(self.layers)
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            tokens: float (B, S, D), with their positions.
            real: bool (B, S), True = real token; None = all are. What is not real is not looked at.

        Returns:
            float (B, S, D).
        """
        recompute = self.training and self.activation_checkpointing
        for layer in self.layers:
            tokens = run_block(layer, tokens, real, recompute=recompute)
        return self.norm(tokens)


def may_be_seen(real: Tensor) -> Tensor:
    """Give what of a sequence counts, bool (B, S): its real tokens, or all where it has none, so that no mean is empty.

    A clip without sound has none; no loss looks at what comes out for it.
    """
    return real | ~real.any(dim=1, keepdim=True)


def mean_of_real(tokens: Tensor, real: Tensor | None) -> Tensor:
    """Average the real tokens of each sequence, float (B, S, D) with bool (B, S): float (B, D)."""
    if real is None:
        return tokens.mean(dim=1)
    weights = may_be_seen(real).to(tokens.dtype)[..., None]
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1)


def drop_biases(module: nn.Module) -> None:
    """Take the biases from all linear layers and norms inside."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.LayerNorm):
            part.register_parameter('bias', None)


def init_fan_in(module: nn.Module) -> None:
    """Draw truncated normal weights for all linear layers inside by the width that comes in, as JAX's libraries do."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            std = part.in_features**-0.5
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
