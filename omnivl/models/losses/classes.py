"""Cross-entropy of classes."""

import torch.nn.functional as F
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS


@MODELS.register_module()
class ClassLoss(nn.Module):
    """Mean cross-entropy over the batch.

    Args:
        label_smoothing: Probability mass spread over all classes.
        weight: Factor of the loss.
    """

    name = 'class'
    needs = ('class_logits', 'labels')

    def __init__(self, label_smoothing: float = 0.0, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise OmniVLValueError(f'label_smoothing must be in [0, 1), got {label_smoothing}')
        self.label_smoothing = label_smoothing
        self.weight = weight

    def forward(self, class_logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss, a scalar in float32, of logits (B, C) and labels int64 (B,)."""
        loss = F.cross_entropy(class_logits.float(), labels, label_smoothing=self.label_smoothing)
        return self.weight * loss
