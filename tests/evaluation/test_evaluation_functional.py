"""Ranks, recalls, accuracies: by hand, and against naive loops."""

import numpy as np
import pytest

from omnivl.evaluation.functional import (
    best_true_ranks,
    chance_mean_rank,
    chance_recall_at,
    class_ranks,
    per_class_accuracy,
    recall_at,
    reranked_ranks,
    retrieval_metrics,
    top_indices,
)


def random_problem(seed, queries=40, items=17, levels=None):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(queries, items)) if levels is None else rng.integers(levels, size=(queries, items)) * 1.0
    is_true = rng.random((queries, items)) < 0.15
    is_true[np.arange(queries), rng.integers(items, size=queries)] = True
    return scores, is_true


def naive_rank(scores, is_true):
    best = max(score for score, true in zip(scores, is_true) if true)
    return 1 + sum(score >= best and not true for score, true in zip(scores, is_true))


def test_ranks_by_hand():
    scores = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.2, 0.2, 0.1], [0.1, 0.8, 0.9]])
    is_true = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]], dtype=bool)
    assert best_true_ranks(scores, is_true).tolist() == [1, 3, 2, 1]


@pytest.mark.parametrize('levels', [None, 3])
def test_ranks_equal_a_loop(levels):
    scores, is_true = random_problem(0, levels=levels)
    assert best_true_ranks(scores, is_true).tolist() == list(map(naive_rank, scores, is_true))


def test_ranks_do_not_depend_on_the_order_of_the_gallery():
    scores, is_true = random_problem(1, levels=4)
    order = np.random.default_rng(2).permutation(scores.shape[1])
    np.testing.assert_array_equal(
        best_true_ranks(scores, is_true), best_true_ranks(scores[:, order], is_true[:, order])
    )


def test_equal_scores_for_everything_earn_nothing():
    assert best_true_ranks(np.zeros((5, 5)), np.eye(5, dtype=bool)).tolist() == [5] * 5


def test_query_without_a_true_item():
    with pytest.raises(ValueError, match=r'query 1 has no true item in the gallery \(1 such queries\)'):
        best_true_ranks(np.zeros((2, 2)), np.array([[True, False], [False, False]]))


def test_scores_that_are_nan():
    with pytest.raises(ValueError, match='scores are NaN: the features of the model are not finite'):
        best_true_ranks(np.array([[0.0, np.nan]]), np.array([[True, False]]))


@pytest.mark.parametrize('levels', [None, 3])
@pytest.mark.parametrize('k', [1, 4, 17, 30])
def test_top_is_a_stable_sort(levels, k):
    scores, _ = random_problem(3, levels=levels)
    np.testing.assert_array_equal(top_indices(scores, k), np.argsort(-scores, axis=1, kind='stable')[:, :k])


def test_reranking_orders_the_first_and_leaves_the_rest():
    """Three queries, the first two items are ordered anew."""
    ranks = np.array([2, 1, 4])
    scores = np.array([[0.1, 0.9], [0.1, 0.9], [5.0, 6.0]])
    is_true = np.array([[False, True], [True, False], [False, False]])
    assert reranked_ranks(ranks, scores, is_true).tolist() == [1, 2, 4]


def test_reranking_equals_a_sort_of_the_whole_gallery():
    similarity, is_true = random_problem(4)
    new = np.random.default_rng(5).normal(size=similarity.shape)
    for k in (1, 5, 17):
        top = top_indices(similarity, k)
        whole = similarity - 100
        np.put_along_axis(whole, top, np.take_along_axis(new, top, axis=1), axis=1)
        expected = best_true_ranks(whole, is_true)
        found = reranked_ranks(
            best_true_ranks(similarity, is_true),
            np.take_along_axis(new, top, axis=1),
            np.take_along_axis(is_true, top, axis=1),
        )
        np.testing.assert_array_equal(found, expected)


def test_metrics_by_hand():
    ranks = np.array([1, 3, 6, 30])
    assert retrieval_metrics(ranks) == {'r1': 25.0, 'r5': 50.0, 'r10': 75.0, 'median_rank': 4.5, 'mean_rank': 10.0}
    assert recall_at(ranks, 3) == 50.0


def test_chance_with_one_true_item_is_k_over_n():
    assert chance_recall_at(np.ones(7, dtype=int), 200, 1) == 0.5
    assert chance_recall_at(np.ones(7, dtype=int), 200, 10) == 5.0
    assert chance_recall_at(np.ones(7, dtype=int), 4, 10) == 100.0


def test_chance_is_what_random_orders_reach():
    rng = np.random.default_rng(0)
    counts, size = np.array([1, 3, 5]), 12
    ranks = np.array([[rng.permutation(size)[:count].min() + 1 for count in counts] for _ in range(20_000)])
    for k in (1, 5, 10):
        assert chance_recall_at(counts, size, k) == pytest.approx(recall_at(ranks.ravel(), k), abs=0.5)
    assert chance_mean_rank(counts, size) == pytest.approx(ranks.mean(), abs=0.05)


def test_class_ranks_and_accuracy_by_hand():
    scores = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.1], [0.1, 0.2, 0.3], [0.5, 0.1, 0.2]])
    labels = np.array([0, 0, 2, 2])
    ranks = class_ranks(scores, labels)
    assert ranks.tolist() == [1, 2, 1, 2]
    by_class = per_class_accuracy(ranks == 1, labels, 3)
    np.testing.assert_array_equal(by_class, [50.0, np.nan, 50.0])


@pytest.mark.parametrize('label', [3, -1])
def test_label_outside_the_classes(label):
    with pytest.raises(ValueError, match=rf'label {label} is not one of the 3 classes 0\.\.2'):
        class_ranks(np.zeros((1, 3)), np.array([label]))
