"""Figures of samples with any number of classes, in numpy: average precision, area under the ROC curve, d'.

Letters: N samples, C classes. Equal scores are one threshold: average precision takes all of them at once, and the area
counts half of each tied pair, as in scikit-learn.
"""

import math
from statistics import NormalDist

import numpy as np

from omnivl.errors import OmniVLValueError


def average_precision(scores: np.ndarray, is_true: np.ndarray) -> float:
    """Average the precision over the true samples: ``sum (recall_k - recall_{k-1}) precision_k`` over thresholds.

    Args:
        scores: Of one class, higher is better; float (N,).
        is_true: Whether a sample is of it; bool (N,).

    Returns:
        A share in (0, 1]; NaN without a true sample.
    """
    if not is_true.any():
        return math.nan
    order = np.argsort(-scores, kind='stable')
    hits = np.cumsum(is_true[order])
    # The last place of each distinct score is where its threshold has taken all of its samples.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.diff(hits[ends], prepend=0)
    return float((found * hits[ends] / (ends + 1)).sum() / hits[-1])


def roc_area(scores: np.ndarray, is_true: np.ndarray) -> float:
    """Return the share of pairs of a true and another sample in which the true one has the higher score (AUC).

    Args:
        scores: Of one class; float (N,).
        is_true: Whether a sample is of it; bool (N,).

    Returns:
        A share in [0, 1]; NaN without a true sample or without another.
    """
    positives = int(is_true.sum())
    negatives = len(is_true) - positives
    if not positives or not negatives:
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place.reshape(-1)]  # from 1, equal scores share the mean of their ranks
    return float((ranks[is_true].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def d_prime(area: float) -> float:
    """Turn an area under the ROC curve into d': ``sqrt(2) Phi^-1(area)`` (AudioSet, Gemmeke et al. 2017).

    It is the distance of two normal distributions of unit variance whose samples are told apart that well; 0 for an
    area of 1/2, infinite for 1.
    """
    if not 0 < area < 1:
        return math.copysign(math.inf, area - 0.5) if area in (0, 1) else math.nan
    return math.sqrt(2.0) * NormalDist().inv_cdf(area)


def multi_label_metrics(scores: np.ndarray, is_true: np.ndarray) -> dict[str, float]:
    """Sum up all classes that have a true sample and another.

    Args:
        scores: Higher is better; float (N, C). NaN is an ``OmniVLValueError``.
        is_true: bool (N, C).

    Returns:
        ``mAP`` and ``AUC``, means over these classes in percent, and ``d_prime``, of the mean area.

    Raises:
        OmniVLValueError: There is no such class, too.
    """
    if np.isnan(scores).any():
        raise OmniVLValueError('scores are NaN: the outputs of the model are not finite (has the training diverged?)')
    counts = is_true.sum(axis=0)
    classes = np.flatnonzero((counts > 0) & (counts < len(is_true)))
    if not len(classes):
        raise OmniVLValueError(f'none of {is_true.shape[1]} classes has a sample of it and one that is not')
    precision = np.mean([average_precision(scores[:, one], is_true[:, one]) for one in classes])
    area = np.mean([roc_area(scores[:, one], is_true[:, one]) for one in classes])
    return {'mAP': 100.0 * float(precision), 'AUC': 100.0 * float(area), 'd_prime': d_prime(float(area))}
