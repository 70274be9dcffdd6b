"""What VATT's encoders share: positions and the transformer (2104.11178, section 3)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

from omnivl.models.layers import FactorisedPositions, FeedForward, TransformerLayer
from omnivl.models.layers.attention import SelfAttention
from omnivl.models.layers.recompute import Recompute, check_recompute, run_layers


@lru_cache(maxsize=32)
def spline_weights(count: int, length: int) -> Tensor:
    """Weigh values at i / count, i = 0 .. count - 1, to those at j / length of the natural cubic spline through them.

    The published code interpolates with a polyharmonic spline of order 3, which on a line is that one.

    Args:
        count: Number of values that there are.
        length: Number of values wanted.

    Returns:
        float64 (length, count); one value is repeated.
    """
    if count == 1:
        return torch.ones(length, 1, dtype=torch.float64)
    known = torch.arange(count, dtype=torch.float64)[:, None] / count
    wanted = torch.arange(length, dtype=torch.float64)[:, None] / length

    def basis(at: Tensor) -> Tensor:
        """Cubes of the distances to the known places, and a line: (n, 1) to (n, count + 2)."""
        return torch.cat([(at - known.T).abs() ** 3, at, torch.ones_like(at)], dim=1)

    system = torch.zeros(count + 2, count + 2, dtype=torch.float64)
    system[:count] = basis(known)
    system[count:, :count] = system[:count, count:].T  # the cubes must not contain a line of their own
    return torch.linalg.solve(system, basis(wanted), left=False)[:, :count]


def resize_table(table: Tensor, length: int) -> Tensor:
    """Fit positions, float (n, D), to another number of them, (length, D); the same tensor where it is the same."""
    if table.shape[0] == length:
        return table
    return (spline_weights(table.shape[0], length).to(table.device) @ table.double()).to(table.dtype)


class SplinePositions(FactorisedPositions):
    """Positions of a grid of any size: a table is interpolated where there are more or fewer than it has entries."""

    def entries(self, axis: int, size: int) -> Tensor:
        """Return what ``size`` positions of an axis have, on the spline through its table; float (size, D)."""
        return resize_table(self.pos_embed[axis], size)


def init_glorot(module: nn.Module) -> None:
    """Initialise as Keras does: uniform weights by the sum of both widths, each of a fused projection, zero biases."""
    fused = {id(part.qkv) for part in module.modules() if isinstance(part, SelfAttention)}
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv3d):
            for weight in part.weight.data.chunk(3) if id(part) in fused else (part.weight,):
                nn.init.xavier_uniform_(weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def pre_norm_layer(width: int, num_heads: int, mlp_ratio: float, dropout: float, eps: float) -> TransformerLayer:
    """Build a layer whose dropout is where the published code has it: in the feed-forward layer, too."""
    mlp = FeedForward(width, int(width * mlp_ratio), dropout=dropout)
    return TransformerLayer(width, num_heads, dropout=dropout, mlp=mlp, eps=eps, norm_first=True)


class Backbone(nn.Module):
    """The transformer (section 3.2): pre-norm layers with exact GELU, then a norm and dropout.

    Args:
        width: Width D of the tokens.
        depth: Number of layers.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        dropout: Rate of attention weights, hidden values and outputs.
        eps: Of the layer norms.
        activation_checkpointing: What of the layers is computed again in the backward pass, see ``run_block``.
    """

    def __init__(
        self,
        width: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        eps: float = 1e-6,
        activation_checkpointing: Recompute = False,
    ) -> None:
        super().__init__()
        self.width = width
        self.activation_checkpointing = check_recompute(activation_checkpointing)
        self.layers = nn.ModuleList(pre_norm_layer(width, num_heads, mlp_ratio, dropout, eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)
        init_glorot(self)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map float (B, S, D) to float (B, S, D).

        Args:
            tokens: float (B, S, D).
            mask: What may be attended to, bool (B, S), or what is added to the scores, float (B, h, S, S); None =
                everything.

        Returns:
            float (B, S, D).
        """
        mask = mask[:, None, None] if mask is not None and mask.ndim == 2 else mask
        recompute = self.training and self.activation_checkpointing
        layers = cast(Sequence[TransformerLayer], self.layers)
        tokens, _ = run_layers(layers, tokens, recompute=recompute, mask=mask)
        return self.dropout(self.norm(tokens))
