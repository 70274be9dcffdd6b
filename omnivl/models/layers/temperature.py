"""The learnable temperature of a contrastive loss."""

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError


class Temperature(nn.Module):
    """A positive scalar that similarities are divided by.

    Args:
        initial: Initial value (0.07 in BLIP).
        allowed: Range that ``clamp`` keeps it in (BLIP's).
    """

    def __init__(self, initial: float = 0.07, allowed: tuple[float, float] = (0.001, 0.5)) -> None:
        super().__init__()
        low, high = allowed
        if not 0 < low <= initial <= high:
            raise OmniVLValueError(f'temperature must lie in temperature_range=({low}, {high}), got {initial}')
        self.value = nn.Parameter(torch.tensor(float(initial)))
        self.allowed = (low, high)

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring the value back into its range; once per training step."""
        self.value.clamp_(*self.allowed)

    def forward(self) -> Tensor:
        """Return the value, a scalar."""
        return self.value
