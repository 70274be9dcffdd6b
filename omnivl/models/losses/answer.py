"""Language modelling of answers, each with its weight (BLIP, 2201.12086, ``models/blip_vqa.py`` of its code)."""

import torch.nn.functional as F
from torch import Tensor

from omnivl.registry import MODELS

from ..distributed import mean_over_ranks
from .base import StepLoss, check_smoothing
from .language import TextPrediction


def answer_log_likelihoods(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Sum the log-likelihood of each answer over its tokens; arguments as ``answer_loss``, float32 (A,)."""
    losses = F.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), label_smoothing=label_smoothing, reduction='none'
    )
    return -losses.view(targets.shape).sum(dim=1)


def answer_loss(
    logits: Tensor, targets: Tensor, weights: Tensor, questions: int, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy summed over the tokens of an answer, weighted, summed over answers, per question.

    As in BLIP's code (label smoothing 0.1 in its ``models/med.py``): a long answer counts more than a short one, and
    the weights of the answers to one question need not add up to 1.

    Args:
        logits: float (A, L, V); position i holds the prediction for ``targets[:, i]`` (already shifted).
        targets: int64 (A, L); -100 where there is nothing to predict.
        weights: float (A,).
        questions: Number of questions B on this rank.
        label_smoothing: Probability mass spread over the vocabulary.

    Returns:
        Scalar, float32; averaged over ranks it is that of their joined batch.
    """
    losses = -answer_log_likelihoods(logits, targets, label_smoothing)
    return (weights * losses).sum() / mean_over_ranks(losses.new_tensor(float(questions)))


@MODELS.register_module()
class AnswerLoss(StepLoss):
    """Language modelling of answers.

    Args:
        label_smoothing: See ``answer_loss`` (0.1 in BLIP).
        weight: Factor of the loss.
    """

    name = 'answer'
    needs = ('answers', 'answer_weights', 'questions')

    def __init__(self, label_smoothing: float = 0.1, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.label_smoothing = check_smoothing(label_smoothing)

    def forward(self, answers: TextPrediction, answer_weights: Tensor, questions: int) -> Tensor:
        """See ``answer_loss``."""
        return self.weight * answer_loss(*answers, answer_weights, questions, self.label_smoothing)
