"""Language modelling: the caption, word piece by word piece (OmniVL, 2209.07526, section 3.2)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from omnivl.registry import MODELS

from ..distributed import mean_over_ranks
from .base import StepLoss, check_smoothing

IGNORED = -100  # where there is nothing to predict; the ``ignore_index`` of PyTorch's cross-entropy
# Tokens whose logits are made at a time: of BERT's vocabulary they take 60 MB.
CHUNK = 512


class TextPrediction(NamedTuple):
    """What a decoder makes of each token of N texts, given those before it, and what is right.

    The logits of all positions at once would be the largest tensor of a step; losses make them chunk by chunk, where
    there is something to predict.

    Attributes:
        tokens: float (N, L, D); of position i the prediction for ``targets[:, i]`` is made.
        targets: int64 (N, L), ``IGNORED`` where there is nothing to predict.
        head: Maps tokens (..., D) to logits (..., V).
    """

    tokens: Tensor
    targets: Tensor
    head: Callable[[Tensor], Tensor]

    @property
    def logits(self) -> Tensor:
        """All logits, float (N, L, V)."""
        return self.head(self.tokens)


def token_losses(prediction: TextPrediction, label_smoothing: float = 0.0) -> Tensor:
    """Compute the cross-entropy of every token that is to be predicted.

    Of more than ``CHUNK`` tokens no logits are kept: the backward pass makes those of each chunk again.

    Args:
        prediction: N texts of L tokens.
        label_smoothing: Probability mass spread over the vocabulary.

    Returns:
        float32 (N, L); zeros where there is nothing to predict.
    """
    targets = prediction.targets.flatten()
    places = (targets != IGNORED).nonzero().squeeze(1)  # a GPU is waited for, for less than padding would take
    tokens = prediction.tokens.flatten(0, 1).index_select(0, places)
    chunks = list(zip(tokens.split(CHUNK), targets.index_select(0, places).split(CHUNK)))
    arguments = (prediction.head, label_smoothing)
    if len(chunks) > 1 and torch.is_grad_enabled():
        losses = [checkpoint(_cross_entropy, *chunk, *arguments, use_reentrant=False) for chunk in chunks]
    else:
        losses = [_cross_entropy(*chunk, *arguments) for chunk in chunks]
    everywhere = tokens.new_zeros(targets.shape, dtype=torch.float32)
    return everywhere.index_copy(0, places, torch.cat(losses)).view(prediction.targets.shape)


def _cross_entropy(tokens: Tensor, targets: Tensor, head: Callable[[Tensor], Tensor], label_smoothing: float) -> Tensor:
    return F.cross_entropy(head(tokens).float(), targets, label_smoothing=label_smoothing, reduction='none')


def language_loss(prediction: TextPrediction, label_smoothing: float = 0.1) -> Tensor:
    """Cross-entropy of every word piece given those before it, over the real word pieces of all ranks.

    Args:
        prediction: Of N texts.
        label_smoothing: Probability mass spread over the vocabulary (0.1 in BLIP).

    Returns:
        Scalar, float32; averaged over ranks it is the mean over the word pieces of their joined batch.
    """
    count = (prediction.targets != IGNORED).sum().float()
    return token_losses(prediction, label_smoothing).sum() / mean_over_ranks(count).clamp(min=1)


@MODELS.register_module()
class LanguageLoss(StepLoss):
    """LM.

    Args:
        label_smoothing: See ``language_loss``.
        weight: Factor of the loss.
        label_data: Whether texts made of the classes of labelled visuals are learnt, too; without, LM learns of
            captions alone.
    """

    name = 'lm'
    needs = ('language', 'has_label')

    def __init__(self, label_smoothing: float = 0.1, weight: float = 1.0, label_data: bool = True) -> None:
        super().__init__(weight)
        self.label_smoothing = check_smoothing(label_smoothing)
        self.label_data = label_data

    def forward(self, language: TextPrediction, has_label: Tensor) -> Tensor:
        """See ``language_loss``; ``has_label``, bool (N,), says which texts are made of classes."""
        if not self.label_data:
            language = language._replace(targets=language.targets.masked_fill(has_label[:, None], IGNORED))
        return self.weight * language_loss(language, self.label_smoothing)
