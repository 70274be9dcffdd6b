"""What every loss of a training step is."""

from torch import nn

from omnivl.errors import OmniVLValueError


class StepLoss(nn.Module):
    """A loss that says what it needs of a training step; ``forward`` takes just that, by name, and returns a scalar.

    Args:
        weight: Factor of the loss.

    Attributes:
        name: What the log calls it, behind ``loss_``, and tasks of the train loop choose it by.
        needs: Names of what it needs, see ``TrainingStep``.
    """

    name: str
    needs: tuple[str, ...]

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight


def check_smoothing(label_smoothing: float) -> float:
    """Return a probability mass that is to be spread over the alternatives, if it is one."""
    if not 0 <= label_smoothing < 1:
        raise OmniVLValueError(f'label_smoothing must be in [0, 1), got {label_smoothing}')
    return label_smoothing
