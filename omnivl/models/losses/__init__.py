from .answer import AnswerLoss, answer_log_likelihoods, answer_loss
from .base import StepLoss
from .classes import ClassLoss
from .contrast import ContrastLoss, contrast_loss
from .language import LanguageLoss, TextPrediction, language_loss
from .matching import MatchingLoss, matching_loss
from .negatives import HardNegatives, MatchingPairs, matching_pairs, sample_hard_negatives, text_keys
from .univlc import UniVLCLoss, univlc_loss

__all__ = [
    'AnswerLoss',
    'ClassLoss',
    'ContrastLoss',
    'HardNegatives',
    'LanguageLoss',
    'MatchingLoss',
    'MatchingPairs',
    'StepLoss',
    'TextPrediction',
    'UniVLCLoss',
    'answer_log_likelihoods',
    'answer_loss',
    'contrast_loss',
    'language_loss',
    'matching_loss',
    'matching_pairs',
    'sample_hard_negatives',
    'text_keys',
    'univlc_loss',
]
