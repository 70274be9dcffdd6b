"""Experts that choose their tokens (2202.09368), as in the last layers of IMP's encoder (2305.06324)."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.models.layers.blocks import Residual, ResidualOptions
from omnivl.models.mode import full_precision

GROUPS = ('batch', 'sample')
ROUTER_STD = 0.02  # of the router's weights at their start, as in IMP's code


class Choice(NamedTuple):
    """What the experts chose, best first.

    Attributes:
        gates: What each result counts, float32 (G, X, c), G groups and X experts with a capacity of c tokens each.
        index: The tokens of the group, int64 (G, X, c); the same one may be chosen by several experts, or by none.
    """

    gates: Tensor
    index: Tensor


def choose_tokens(probabilities: Tensor, capacity: int, real: Tensor | None = None) -> Choice:
    """Let each expert take the tokens of its group that want it most.

    Expert choice (2202.09368, section 3.2): every expert is as busy as any other, so no loss has to balance them.
    Padding is taken where there are not enough real tokens, and counts nothing.

    Args:
        probabilities: Of the experts for each token, float32 (G, n, X).
        capacity: Tokens that an expert takes, c <= n.
        real: bool (G, n), True = real token; None = all are.

    Returns:
        Gates and tokens.
    """
    if real is not None:
        probabilities = probabilities.masked_fill(~real[..., None], -1.0)  # below a real one that has come down to 0
    gates, index = probabilities.transpose(1, 2).topk(capacity, dim=2)
    return Choice(gates.clamp(min=0), index)


def group_sizes(tokens: int, group_size: int, num_experts: int, capacity_factor: float) -> tuple[int, int, int]:
    """Deal tokens out to groups of equal size, the fewest that are no larger than ``group_size``.

    Args:
        tokens: Number of tokens.
        group_size: Most tokens of a group.
        num_experts: Number of experts.
        capacity_factor: Experts that a token has on average.

    Returns:
        The number of groups, tokens of each (the last one is filled up), and tokens that an expert takes of each.
    """
    count = math.ceil(tokens / group_size)
    size = math.ceil(tokens / count)
    return count, size, min(size, max(1, round(capacity_factor * size / num_experts)))


class ExpertFeedForward(nn.Module):
    """Feed-forward layers of which each takes its own tokens; a token that none takes is left as it is.

    The tokens of the batch are laid end to end and cut into groups; experts choose within a group, so what a sample
    gets depends on those that share its group. With ``groups='sample'`` it depends on nothing else.

    Args:
        width: Width D of the tokens.
        hidden: Width H between the two linear layers of an expert, which have no biases.
        num_experts: Number of experts X.
        capacity_factor: Experts that a token has on average.
        group_size: Most tokens of a group.
        groups: ``'batch'``, or ``'sample'``: each sample is one.
        mask_padding: Whether padding gives way to real tokens; otherwise it is chosen as they are.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        num_experts: int = 16,
        capacity_factor: float = 1.0,
        group_size: int = 2048,
        groups: str = 'batch',
        mask_padding: bool = True,
    ) -> None:
        super().__init__()
        if groups not in GROUPS:
            raise OmniVLValueError(f'groups must be one of {GROUPS}, got {groups!r} (set encoder.experts.groups)')
        if min(num_experts, group_size) < 1 or not 0 < capacity_factor <= num_experts:
            raise OmniVLValueError(
                'num_experts and group_size must be at least 1, capacity_factor above 0 and at most num_experts; got '
                f'{num_experts}, {group_size} and {capacity_factor} (set encoder.experts)'
            )
        self.capacity_factor = capacity_factor
        self.group_size = group_size
        self.groups = groups
        self.mask_padding = mask_padding
        self.router = nn.Parameter(torch.empty(num_experts, width))
        self.inner = nn.Parameter(torch.empty(num_experts, width, hidden))
        self.outer = nn.Parameter(torch.empty(num_experts, hidden, width))
        nn.init.normal_(self.router, std=ROUTER_STD)
        for weight in (self.inner, self.outer):
            std = weight.shape[1] ** -0.5
            nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)

    def route(self, tokens: Tensor, capacity: int, real: Tensor | None = None) -> Choice:
        """Let the experts choose among the tokens of each group, float (G, n, D); always in float32."""
        with full_precision(tokens.device.type):
            probabilities = F.linear(tokens.float(), self.router.float()).softmax(dim=-1)
            return choose_tokens(probabilities, capacity, real)

    def forward(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Run the experts.

        Args:
            tokens: float (B, S, D).
            real: bool (B, S), True = real token; None = all are.

        Returns:
            float (B, S, D), the sum of what the experts of a token give, by their gates; 0 where it has none.
        """
        batch, length, width = tokens.shape
        size = length if self.groups == 'sample' else self.group_size
        count, size, capacity = group_sizes(batch * length, size, len(self.inner), self.capacity_factor)
        missing = count * size - batch * length
        grouped = F.pad(tokens.reshape(-1, width), (0, 0, 0, missing)).view(count, size, width)
        real = real if self.mask_padding else None
        if missing and real is None:
            real = tokens.new_ones(batch, length, dtype=torch.bool)
        if real is not None:
            real = F.pad(real.reshape(-1), (0, missing)).view(count, size)
        gates, index = self.route(grouped, capacity, real)

        first = torch.arange(0, count * size, size, device=tokens.device)  # place of each group among all tokens
        places = (index + first[:, None, None]).transpose(0, 1).flatten()  # (X * G * c,)
        taken = grouped.flatten(0, 1).index_select(0, places).unflatten(0, (len(self.inner), -1))  # (X, G * c, D)
        made = F.gelu(taken @ self.inner, approximate='tanh') @ self.outer
        made = made.flatten(0, 1) * gates.transpose(0, 1).reshape(-1, 1)
        combined = made.new_zeros(count * size, width).index_add(0, places, made)
        return combined[: batch * length].view(batch, length, width).to(tokens.dtype)


class ExpertBlock(Residual):
    """Experts with the way past them, which is all that there is for a token that none takes.

    Args:
        width: Width D of the tokens.
        hidden: Width between the two linear layers of an expert.
        experts: Further arguments of ``ExpertFeedForward``.
        **residual: See ``Residual``.
    """

    def __init__(
        self, width: int, hidden: int, experts: Mapping[str, Any], **residual: Unpack[ResidualOptions]
    ) -> None:
        super().__init__(width, dropout=0.0, **residual)
        self.experts = ExpertFeedForward(width, hidden, **experts)

    def forward(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Map float (B, S, D), of which bool (B, S) are real, to float (B, S, D)."""
        return self.leave(tokens, self.experts(self.enter(tokens), real))
