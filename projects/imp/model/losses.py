"""Contrast between any two modalities of a batch (IMP, 2305.06324)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from mmengine import dist
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.models.distributed import gather_batch, gather_with_gradient, mean_over_ranks
from omnivl.models.losses import StepLoss, univlc_loss
from omnivl.models.momentum import Candidates
from omnivl.registry import MODELS


class Pair(NamedTuple):
    """Two modalities of the samples of a batch.

    Attributes:
        name: As ``'text_visual'``.
        one: Unit vectors, float (B, E).
        other: Unit vectors in the same space, float (B, E).
        temperature: Scalar.
        real: Samples that have both, bool (B,).
    """

    name: str
    one: Tensor
    other: Tensor
    temperature: Tensor
    real: Tensor


def pair_loss(pair: Pair, target_ids: Tensor | None = None) -> Tensor:
    """Contrast the two modalities of a pair, both ways, over the samples of all ranks that have both.

    Symmetric InfoNCE as in ``contrast_loss``, whose sum is divided by the samples that count.

    Args:
        pair: The pair.
        target_ids: Labels that decide what belongs together, int64 (B,), not negative; None = each sample is its own.

    Returns:
        Scalar, float32; 0 where no sample has both. Averaged over ranks it is that of their joined batch.
    """
    count = pair.one.shape[0]
    if target_ids is None:
        target_ids = torch.arange(count, device=pair.one.device) + dist.get_rank() * count
    real = gather_batch(pair.real)
    # A sample without one of the two has a label that no candidate has, so nothing is summed up for it.
    candidates = Candidates(
        visual=gather_with_gradient(pair.one),
        text=gather_with_gradient(pair.other),
        target_ids=gather_batch(target_ids).masked_fill(~real, -2),
        valid=real | ~real.any(),  # with no candidate at all the softmax would have no value
    )
    own = target_ids.masked_fill(~pair.real, -1)
    loss = univlc_loss(pair.one, pair.other, own, candidates, pair.temperature)  # over all samples of this rank
    return loss * count / mean_over_ranks(pair.real.sum().float()).clamp(min=1e-6)


@MODELS.register_module()
class PairContrast(StepLoss):
    """The mean of the contrasts of all pairs of modalities that a batch has.

    Args:
        pairs: Pair, such as ``'text_visual'`` -> its factor; a pair that is not there has 1, and 0 leaves it out.
        weight: Factor of the loss.
    """

    name = 'contrast'
    needs = ('pairs', 'positives')

    def __init__(self, pairs: Mapping[str, float] | None = None, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.pairs = dict(pairs or {})
        if bad := {name: factor for name, factor in self.pairs.items() if not factor >= 0}:
            raise OmniVLValueError(f'factors of pairs must not be negative, got {bad} (set model.pairs)')

    def forward(self, pairs: Sequence[Pair], positives: Tensor | None) -> Tensor:
        """Compute the loss, a scalar; ``positives`` are the labels of the samples, int64 (B,), or None."""
        factors = {pair.name: self.pairs.get(pair.name, 1.0) for pair in pairs}
        losses = [factors[pair.name] * pair_loss(pair, positives) for pair in pairs if factors[pair.name]]
        if not losses:
            raise OmniVLValueError(
                f'the task has no pair of modalities to contrast ({list(factors)}): add texts or sound to its '
                'pipeline, or leave the loss out by the key losses of its loader'
            )
        return self.weight * torch.stack(losses).mean()
