"""Language modelling of answers, each with its weight (BLIP, 2201.12086, ``models/blip_vqa.py`` of its code)."""

from torch import Tensor

from omnivl.registry import MODELS

from ..distributed import mean_over_ranks
from .base import StepLoss, check_smoothing
from .language import TextPrediction, token_losses


def answer_log_likelihoods(prediction: TextPrediction, label_smoothing: float = 0.0) -> Tensor:
    """Sum the log-likelihood of each answer over its tokens; arguments as ``answer_loss``, float32 (A,)."""
    return -token_losses(prediction, label_smoothing).sum(dim=1)


def answer_loss(prediction: TextPrediction, weights: Tensor, questions: int, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy summed over the tokens of an answer, weighted, summed over answers, per question.

    As in BLIP's code (label smoothing 0.1 in its ``models/med.py``): a long answer counts more than a short one, and
    the weights of the answers to one question need not add up to 1.

    Args:
        prediction: Of A answers.
        weights: float (A,).
        questions: Number of questions B on this rank.
        label_smoothing: Probability mass spread over the vocabulary.

    Returns:
        Scalar, float32; averaged over ranks it is that of their joined batch.
    """
    losses = -answer_log_likelihoods(prediction, label_smoothing)
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
        return self.weight * answer_loss(answers, answer_weights, questions, self.label_smoothing)
