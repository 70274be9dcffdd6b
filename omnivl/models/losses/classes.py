"""Cross-entropy of classes."""

import torch.nn.functional as F
from torch import Tensor

from omnivl.registry import MODELS

from .base import StepLoss, check_smoothing


@MODELS.register_module()
class ClassLoss(StepLoss):
    """Mean cross-entropy over the batch.

    Args:
        label_smoothing: Probability mass spread over all classes.
        weight: Factor of the loss.
    """

    name = 'class'
    needs = ('class_logits', 'labels')

    def __init__(self, label_smoothing: float = 0.0, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.label_smoothing = check_smoothing(label_smoothing)

    def forward(self, class_logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss, a scalar in float32, of logits (B, C) and labels int64 (B,)."""
        loss = F.cross_entropy(class_logits.float(), labels, label_smoothing=self.label_smoothing)
        return self.weight * loss
