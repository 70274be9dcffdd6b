"""Unified vision-language contrast: visual, label and text in one space (OmniVL, 2209.07526, section 3.2)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS

from ..mode import full_precision
from ..momentum import Candidates
from .base import StepLoss

POSITIVES = ('mean', 'sum')
# Similarities that are made at a time, anchors times candidates: they take 8 MB.
CHUNK = 2**21


def _one_way(
    target_ids: Tensor, known: Candidates, positives: str, anchors: Tensor, candidates: Tensor, temperature: Tensor
) -> Tensor:
    """Sum the loss of some anchors, float (b, E), over them; ``candidates`` (M, E) are those of ``known`` to take."""
    positive = (target_ids[:, None] == known.target_ids[None]) & known.valid  # (b, M)
    logits = anchors @ candidates.T / temperature  # (b, M)
    log_probability = logits.masked_fill(~known.valid, -torch.inf).log_softmax(dim=1)
    per_anchor = -log_probability.masked_fill(~positive, 0).sum(dim=1)  # (b,)
    if positives == 'mean':
        per_anchor = per_anchor / positive.sum(dim=1).clamp(min=1)
    return per_anchor.sum()


def univlc_loss(
    visual: Tensor,
    text: Tensor,
    target_ids: Tensor,
    candidates: Candidates,
    temperature: Tensor,
    positives: str = 'mean',
) -> Tensor:
    r"""Contrast visuals with texts, both ways; labels decide what belongs together.

    With candidates :math:`k = 1..M`, :math:`P(i) = \{k : y_k = y_i\}` and temperature :math:`\tau`,

    .. math:: L_{v2t}(i) = -\frac{1}{|P(i)|} \sum_{k \in P(i)} \log \frac{\exp(v_i \cdot w_k / \tau)}
                            {\sum_m \exp(v_i \cdot w_m / \tau)}, \qquad L = \tfrac12 E_i [L_{v2t} + L_{t2v}].

    Section 3.2 of the paper, whose sum carries no :math:`1/|P(i)|` as far as is known (``positives='sum'``). The
    default divides by it as UniCL (2204.03610) does, else frequent classes dominate. With unique labels both are
    InfoNCE. Of more than ``CHUNK`` similarities those of some anchors at a time are made.

    Args:
        visual: Unit vectors of the visuals v, float (B, E).
        text: Unit vectors of the texts w, float (B, E).
        target_ids: Labels y, int64 (B,).
        candidates: What to compare with: momentum features of the batch of all ranks, then the queues. Must hold each
            anchor's own counterpart, so that no P(i) is empty.
        temperature: Scalar.
        positives: ``'mean'`` or ``'sum'`` over P(i).

    Returns:
        Scalar, float32.

    Raises:
        OmniVLValueError: ``positives`` is neither.
    """
    if positives not in POSITIVES:
        raise OmniVLValueError(f'positives must be one of {POSITIVES}, got {positives!r}')
    with full_precision(visual.device.type):  # bf16 has 3 digits; logits are divided by tau = 0.07
        total = torch.zeros((), device=visual.device)
        rows = max(1, CHUNK // candidates.target_ids.shape[0])
        for anchors, others in ((visual.float(), candidates.text.float()), (text.float(), candidates.visual.float())):
            for part, labels in zip(anchors.split(rows), target_ids.split(rows)):
                one_way = partial(_one_way, labels, candidates, positives)
                if torch.is_grad_enabled() and not torch.compiler.is_compiling():
                    total = total + _WithGradients.apply(one_way, part, others, temperature)
                else:
                    total = total + one_way(part, others, temperature)
        return total / (2 * visual.shape[0])


class _WithGradients(torch.autograd.Function):
    """A loss whose gradients are computed with it, so that neither similarities nor queues are kept for them."""

    @staticmethod
    def forward(context: Any, loss: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """Compute ``loss(*tensors)``, a scalar, and keep its gradients alone."""
        context.wanted = context.needs_input_grad[1:]
        with torch.enable_grad():
            sources = [one.detach().requires_grad_(wanted) for one, wanted in zip(tensors, context.wanted)]
            value = loss(*sources)
        trained = [one for one in sources if one.requires_grad]
        context.save_for_backward(*torch.autograd.grad(value, trained) if trained else ())
        return value.detach()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients."""
        found = iter(context.saved_tensors)
        return None, *(gradient * next(found) if wanted else None for wanted in context.wanted)


@MODELS.register_module()
class UniVLCLoss(StepLoss):
    """UniVLC.

    Args:
        positives: ``'mean'`` or ``'sum'`` over the positives of an anchor, see ``univlc_loss``.
        weight: Factor of the loss.
    """

    name = 'univlc'
    needs = ('visual_feature', 'text_feature', 'target_ids', 'candidates', 'temperature')

    def __init__(self, positives: str = 'mean', weight: float = 1.0) -> None:
        super().__init__(weight)
        if positives not in POSITIVES:
            raise OmniVLValueError(
                f'positives must be one of {POSITIVES}, got {positives!r} (set UniVLCLoss.positives)'
            )
        self.positives = positives

    def forward(
        self,
        visual_feature: Tensor,
        text_feature: Tensor,
        target_ids: Tensor,
        candidates: Candidates,
        temperature: Tensor,
    ) -> Tensor:
        """See ``univlc_loss``."""
        loss = univlc_loss(visual_feature, text_feature, target_ids, candidates, temperature, self.positives)
        return self.weight * loss
