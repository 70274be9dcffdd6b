from .language import LanguageLoss, language_loss
from .matching import MatchingLoss, matching_loss, matching_pairs, sample_hard_negatives
from .univlc import UniVLCLoss, univlc_loss

__all__ = [
    'LanguageLoss',
    'MatchingLoss',
    'UniVLCLoss',
    'language_loss',
    'matching_loss',
    'matching_pairs',
    'sample_hard_negatives',
    'univlc_loss',
]
