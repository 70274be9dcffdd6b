"""Language modelling: the caption, word piece by word piece (OmniVL, 2209.07526, section 3.2)."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from omnivl.registry import MODELS

from ..distributed import mean_over_ranks
from .base import StepLoss, check_smoothing


class TextPrediction(NamedTuple):
    """What a decoder says of each token of N texts, given those before it, and what is right.

    Attributes:
        logits: float (N, L, V); position i holds the prediction for ``targets[:, i]``.
        targets: int64 (N, L), -100 where there is nothing to predict.
    """

    logits: Tensor
    targets: Tensor


def language_loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.1, ignore_id: int = -100) -> Tensor:
    """Cross-entropy of every word piece given those before it, over the real word pieces of all ranks.

    Args:
        logits: float (N, L, V); position i holds the prediction for ``targets[:, i]`` (already shifted).
        targets: int64 (N, L); ``ignore_id`` where there is nothing to predict.
        label_smoothing: Probability mass spread over the vocabulary (0.1 in BLIP).
        ignore_id: Marks positions that do not count.

    Returns:
        Scalar, float32; averaged over ranks it is the mean over the word pieces of their joined batch.
    """
    total = F.cross_entropy(
        logits.float().flatten(0, 1),
        targets.flatten(),
        ignore_index=ignore_id,
        label_smoothing=label_smoothing,
        reduction='sum',
    )
    return total / mean_over_ranks((targets != ignore_id).sum().float()).clamp(min=1)


@MODELS.register_module()
class LanguageLoss(StepLoss):
    """LM.

    Args:
        label_smoothing: See ``language_loss``.
        weight: Factor of the loss.
    """

    name = 'lm'
    needs = ('language',)

    def __init__(self, label_smoothing: float = 0.1, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.label_smoothing = check_smoothing(label_smoothing)

    def forward(self, language: TextPrediction) -> Tensor:
        """See ``language_loss``."""
        return self.weight * language_loss(language.logits, language.targets, self.label_smoothing)
