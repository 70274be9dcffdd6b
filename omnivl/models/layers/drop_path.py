"""Stochastic depth (1603.09382), written here: reading timm for it takes longer than building a small model."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Drops a residual branch for whole samples in training, and scales what is left so that its mean stays.

    Args:
        rate: Probability of dropping, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Map float (B, ...) to the same shape."""
        if not self.training:
            return branch
        kept = branch.new_empty(branch.shape[0], *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * kept.div_(1 - self.rate)
