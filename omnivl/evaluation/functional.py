"""Ranks, recall and accuracy in numpy; no model, no files.

Letters beside the legend of ``omnivl/structures/batch.py``: Q queries, N items of the gallery, C classes.

Ties count against the model: an item with the score of the true one stands before it. A model that gives everything the
same score then gets what it deserves, while a stable sort would put the right item first wherever the gallery is in the
order of the queries.
"""

import math
from collections.abc import Sequence

import numpy as np

from omnivl.errors import OmniVLValueError


def best_true_ranks(scores: np.ndarray, is_true: np.ndarray) -> np.ndarray:
    """Rank the best true item of each query.

    Args:
        scores: Higher is better; float (Q, N). NaN is an ``OmniVLValueError``.
        is_true: Which items are right for a query, at least one (else an ``OmniVLValueError``); bool (Q, N).

    Returns:
        Rank from 1: one more than the number of wrong items that score as high as the best true one; int64 (Q,).
    """
    if np.isnan(scores).any():
        raise OmniVLValueError('scores are NaN: the features of the model are not finite (has the training diverged?)')
    without = np.flatnonzero(~is_true.any(axis=1))
    if len(without):
        raise OmniVLValueError(f'query {without[0]} has no true item in the gallery ({len(without)} such queries)')
    best = np.where(is_true, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((scores >= best) & ~is_true).sum(axis=1)


def top_indices(scores: np.ndarray, k: int) -> np.ndarray:
    """Find the k best items of each query by scores (Q, N): int64 (Q, min(k, N)), of equal ones the first first."""
    count, size = scores.shape
    k = min(k, size)
    kth = np.partition(scores, size - k, axis=1)[:, size - k : size - k + 1]
    above, equal = scores > kth, scores == kth
    room = k - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1) <= room))  # k per row, whatever the ties
    index = np.nonzero(chosen)[1].reshape(count, k)
    order = np.argsort(-np.take_along_axis(scores, index, axis=1), axis=1, kind='stable')
    return np.take_along_axis(index, order, axis=1)


def reranked_ranks(ranks: np.ndarray, scores: np.ndarray, is_true: np.ndarray) -> np.ndarray:
    """Rank again where the first K items of each query are ordered anew by other scores and the rest stay as they are.

    Args:
        ranks: Rank of the best true item before, from 1; int64 (Q,).
        scores: The new scores of the first K items; float (Q, K).
        is_true: Which of these are right; bool (Q, K).

    Returns:
        int64 (Q,); a query without a true item among the K keeps its rank.
    """
    found = is_true.any(axis=1)
    new = ranks.copy()
    if found.any():
        new[found] = best_true_ranks(scores[found], is_true[found])
    return new


def recall_at(ranks: np.ndarray, k: int) -> float:
    """Return the share of queries with a true item among the first ``k``, in percent."""
    return 100.0 * int(np.sum(ranks <= k)) / len(ranks)


def chance_recall_at(true_counts: np.ndarray, size: int, k: int) -> float:
    """Return the recall of a random order of ``size`` items in percent; with one true item it is ``100 * k / size``.

    ``true_counts``, int (Q,), has the number of true items of each query; k is as for :func:`recall_at`.
    """
    k = min(k, size)
    orders = math.comb(size, k)
    counts, frequencies = np.unique(true_counts, return_counts=True)
    found = [100 * (orders - math.comb(size - count, k)) / orders for count in counts.tolist()]
    return float(np.average(found, weights=frequencies))


def chance_mean_rank(true_counts: np.ndarray, size: int) -> float:
    """Return the mean rank, over all queries, of the best of m true items in a random order of N: (N + 1) / (m + 1)."""
    return float(np.mean((size + 1) / (true_counts + 1)))


def retrieval_metrics(ranks: np.ndarray, recall_k: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Sum up the ranks of all queries, int64 (Q,).

    These are the recalls in percent as ``r1``, ``r5``, ..., and ``median_rank`` and ``mean_rank``.
    """
    metrics = {f'r{k}': recall_at(ranks, k) for k in recall_k}
    return metrics | {'median_rank': float(np.median(ranks)), 'mean_rank': float(np.mean(ranks))}


def class_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank the true class of each sample, int64 (B,), by scores (B, C): int64 (B,), from 1.

    A label that is not one of the C classes is an ``OmniVLValueError``.
    """
    classes = scores.shape[1]
    outside = labels[(labels < 0) | (labels >= classes)]
    if len(outside):
        raise OmniVLValueError(f'label {outside[0]} is not one of the {classes} classes 0..{classes - 1}')
    return best_true_ranks(scores, labels[:, None] == np.arange(classes))


def per_class_accuracy(correct: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the accuracy of each class in percent, float64 (C,); NaN for a class without samples.

    ``correct``, bool (B,), says which samples are right, ``labels``, int64 (B,), of which class they are.
    """
    counts = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels, weights=correct, minlength=num_classes)
    return np.where(counts > 0, 100.0 * hits / np.maximum(counts, 1), np.nan)
