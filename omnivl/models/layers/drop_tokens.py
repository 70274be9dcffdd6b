"""Leaving tokens out in training (DropToken of VATT, 2104.11178, section 3.2)."""

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError


def drop_tokens(
    tokens: Tensor, rate: float, real: Tensor | None = None, shared: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Keep some tokens of each sequence, drawn at random, in their order; they have had their positions before.

    Args:
        tokens: float (B, S, D).
        rate: Share of the tokens to leave out, in [0, 1); S * (1 - rate), rounded down, stay, one at least.
        real: bool (B, S), True = real token; None = all are.
        shared: Whether all samples of the batch lose the same places, as in VATT's code.

    Returns:
        Tokens, float (B, S', D), and which of them are real, bool (B, S'), or None.

    Raises:
        OmniVLValueError: The rate is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise OmniVLValueError(f'the share of tokens to drop must be in [0, 1), got {rate}')
    if not rate:
        return tokens, real
    batch, length = tokens.shape[:2]
    draws = torch.rand(1 if shared else batch, length, device=tokens.device)
    kept = draws.argsort(dim=1)[:, : max(1, int(length * (1 - rate)))].sort(dim=1).values.expand(batch, -1)
    return tokens.take_along_dim(kept[:, :, None], dim=1), None if real is None else real.take_along_dim(kept, dim=1)
