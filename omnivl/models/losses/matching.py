"""Visual-language matching (VLM) with hard negatives (OmniVL, 2209.07526, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS

from ..distributed import mean_over_ranks
from .base import StepLoss
from .negatives import MatchingPairs


def matching_loss(logits: Tensor, matched: Tensor, valid: Tensor, positive_weight: float = 1.0) -> Tensor:
    r"""Binary cross-entropy, :math:`E[-y \log p - (1 - y) \log(1 - p)]`, over the valid pairs of all ranks.

    Args:
        logits: float (N, 2); column 1 says match.
        matched: int64 (N,), 1 for a match.
        valid: bool (N,), False = left out.
        positive_weight: Weight of the matches relative to the others. BLIP has 1 match to 2 non-matches at weight 1.

    Returns:
        Scalar, float32; averaged over ranks it is the mean over their joined batch.
    """
    weights = torch.where(matched == 1, positive_weight, 1.0) * valid
    losses = F.cross_entropy(logits.float(), matched, reduction='none')
    return (losses * weights).sum() / mean_over_ranks(weights.sum()).clamp(min=1e-12)


@MODELS.register_module()
class MatchingLoss(StepLoss):
    """VLM.

    Args:
        positive_weight: See ``matching_loss`` (1 in BLIP).
        weight: Factor of the loss.
    """

    name = 'vlm'
    needs = ('match_logits', 'pairs')

    def __init__(self, positive_weight: float = 1.0, weight: float = 1.0) -> None:
        super().__init__(weight)
        if positive_weight <= 0:
            raise OmniVLValueError(f'positive_weight must be above 0, got {positive_weight}')
        self.positive_weight = positive_weight

    def forward(self, match_logits: Tensor, pairs: MatchingPairs) -> Tensor:
        """See ``matching_loss``."""
        return self.weight * matching_loss(match_logits, pairs.matched, pairs.valid, self.positive_weight)
