"""Contrast of live features over all ranks, without momentum encoder and queues (CLIP, 2103.00020)."""

import torch
from mmengine import dist
from torch import Tensor

from omnivl.registry import MODELS

from ..distributed import gather_batch, gather_with_gradient
from ..momentum import Candidates
from .base import StepLoss
from .univlc import univlc_loss


def contrast_loss(visual: Tensor, text: Tensor, temperature: Tensor, target_ids: Tensor | None = None) -> Tensor:
    """Contrast the visuals of this rank with the texts of all ranks, and its texts with all visuals.

    Symmetric InfoNCE, see ``univlc_loss``, with the features themselves as candidates, which get a gradient too.

    Args:
        visual: Unit vectors of the visuals, float (B, E).
        text: Unit vectors of the texts, float (B, E).
        temperature: Scalar.
        target_ids: Labels that decide what belongs together, int64 (B,); None = each pair is its own and only positive.

    Returns:
        Scalar, float32; averaged over ranks it is that of their joined batch.
    """
    if target_ids is None:
        target_ids = torch.arange(visual.shape[0], device=visual.device) + dist.get_rank() * visual.shape[0]
    labels = gather_batch(target_ids)
    candidates = Candidates(
        visual=gather_with_gradient(visual),
        text=gather_with_gradient(text),
        target_ids=labels,
        valid=torch.ones_like(labels, dtype=torch.bool),
    )
    return univlc_loss(visual, text, target_ids, candidates, temperature)


@MODELS.register_module()
class ContrastLoss(StepLoss):
    """Contrast of the features of a step.

    Args:
        weight: Factor of the loss.
    """

    name = 'contrast'
    needs = ('visual_feature', 'text_feature', 'temperature', 'positives')

    def forward(
        self, visual_feature: Tensor, text_feature: Tensor, temperature: Tensor, positives: Tensor | None
    ) -> Tensor:
        """See ``contrast_loss``; ``positives`` are its target ids."""
        return self.weight * contrast_loss(visual_feature, text_feature, temperature, positives)
