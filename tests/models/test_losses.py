"""The three losses against references written as loops, and their laws."""

import math

import pytest
import torch
import torch.nn.functional as F

from omnivl.models.layers.temperature import Temperature
from omnivl.models.losses import (
    HardNegatives,
    LanguageLoss,
    MatchingLoss,
    TextPrediction,
    UniVLCLoss,
    language_loss,
    matching_loss,
    matching_pairs,
    sample_hard_negatives,
    univlc_loss,
)
from omnivl.models.momentum import Candidates, FeatureQueues

TAU = torch.tensor(0.07)


def unit(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def contrast_case(targets, queue_targets, unfilled=0):
    batch, length = len(targets), len(queue_targets)
    valid = torch.ones(batch + length, dtype=torch.bool)
    valid[batch + length - unfilled :] = False
    candidates = Candidates(
        unit(batch + length, 6, seed=3),
        unit(batch + length, 6, seed=4),
        torch.tensor([*targets, *queue_targets]),
        valid,
    )
    return unit(batch, 6, seed=1), unit(batch, 6, seed=2), torch.tensor(targets), candidates


def naive_univlc(visual, text, target_ids, candidates, tau, positives):
    total = 0.0
    for anchors, others in ((visual, candidates.text), (text, candidates.visual)):
        for i in range(len(anchors)):
            scores, members = [], []
            for m in range(len(others)):
                if candidates.valid[m]:
                    scores.append(math.exp(float((anchors[i].double() * others[m].double()).sum()) / tau))
                    members.append(int(candidates.target_ids[m]) == int(target_ids[i]))
            logs = [-math.log(s / sum(scores)) for s, member in zip(scores, members) if member]
            total += sum(logs) / (len(logs) if positives == 'mean' else 1)
    return total / 2 / len(visual)


@pytest.mark.parametrize('positives', ['mean', 'sum'])
@pytest.mark.parametrize(
    ('targets', 'queue', 'unfilled'),
    [([0, 1, 2], [], 0), ([0, 1, 1, 5], [5, 0, 7, 1, -1, -2], 2), ([3, 3, 3], [3, 3], 0)],
)
def test_univlc_equals_the_loop(targets, queue, unfilled, positives):
    visual, text, target_ids, candidates = contrast_case(targets, queue, unfilled)
    got = univlc_loss(visual, text, target_ids, candidates, TAU, positives)
    expected = naive_univlc(visual, text, target_ids, candidates, float(TAU), positives)
    assert got.item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_univlc_with_unique_labels_is_infonce_with_queues():
    visual, text, target_ids, candidates = contrast_case([0, 1, 2], [7, 8, 9])
    own = torch.arange(3)
    expected = (
        F.cross_entropy(visual @ candidates.text.T / TAU, own) + F.cross_entropy(text @ candidates.visual.T / TAU, own)
    ) / 2
    for positives in ('mean', 'sum'):
        got = univlc_loss(visual, text, target_ids, candidates, TAU, positives)
        assert torch.allclose(got, expected, atol=1e-6)


def test_univlc_by_hand():
    """Two equal labels, all features equal: every candidate has probability 1/2, so the loss is ln 2."""
    same = F.normalize(torch.ones(2, 3), dim=-1)
    candidates = Candidates(same, same, torch.tensor([4, 4]), torch.ones(2, dtype=torch.bool))
    loss = univlc_loss(same, same, torch.tensor([4, 4]), candidates, TAU)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)


def test_permuting_the_batch_changes_no_loss():
    visual, text, target_ids, candidates = contrast_case([0, 1, 1, 5], [5, 0, 7])
    order = torch.tensor([2, 0, 3, 1])
    joined = torch.cat([order, torch.arange(4, 7)])
    permuted = Candidates(*(field[joined] for field in candidates))
    expected = univlc_loss(visual, text, target_ids, candidates, TAU)
    got = univlc_loss(visual[order], text[order], target_ids[order], permuted, TAU)
    assert torch.allclose(got, expected, atol=1e-6)


def test_unfilled_places_of_the_queue_change_nothing():
    visual, text, target_ids, _ = contrast_case([0, 1], [])
    results = []
    for length in (0, 5, 50):
        candidates = FeatureQueues(6, length).candidates(visual, text, target_ids)
        results.append(univlc_loss(visual, text, target_ids, candidates, TAU))
    assert torch.allclose(results[0], results[1]) and torch.allclose(results[0], results[2])


def test_univlc_stays_in_float32_under_autocast():
    visual, text, target_ids, candidates = contrast_case([0, 1, 2], [7])
    expected = univlc_loss(visual, text, target_ids, candidates, TAU)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(univlc_loss(visual, text, target_ids, candidates, TAU), expected)


def differing(target_ids):
    return target_ids[:, None] != target_ids[None]


def test_hard_negatives_are_never_positives_and_prefer_the_similar():
    target_ids = torch.tensor([0, 0, 1, 2])
    similarity = torch.zeros(4, 4)
    similarity[0, 2] = 3.0
    draws = torch.stack([sample_hard_negatives(similarity, differing(target_ids))[0] for _ in range(2000)])
    assert not (target_ids[draws] == target_ids).any()
    share = (draws[:, 0] == 2).float().mean().item()
    weights = similarity[0].softmax(0) + 1e-4
    assert share == pytest.approx((weights[2] / (weights[2] + weights[3])).item(), abs=0.04)


def test_uniform_share_one_ignores_similarity():
    similarity = torch.full((4, 4), -50.0)
    similarity[:, 3] = 50.0
    draws = torch.stack([sample_hard_negatives(similarity, differing(torch.arange(4)), 1.0)[0] for _ in range(3000)])
    for choice in (1, 2, 3):
        assert (draws[:, 0] == choice).float().mean().item() == pytest.approx(1 / 3, abs=0.04)


def test_a_row_without_negatives_is_left_out():
    index, valid = sample_hard_negatives(torch.zeros(3, 3), differing(torch.tensor([5, 5, 5])))
    assert not valid.any()
    pairs = matching_pairs((index, valid), (index, valid))
    assert pairs.valid.tolist() == [True] * 3 + [False] * 6
    logits = torch.randn(9, 2)
    assert torch.allclose(
        matching_loss(logits, pairs.matched, pairs.valid), F.cross_entropy(logits[:3], pairs.matched[:3])
    )


@pytest.mark.parametrize('positive_weight', [1.0, 2.0])
def test_matching_loss_equals_the_loop(positive_weight):
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    matched, valid = torch.tensor([1, 1, 0, 0, 0, 0]), torch.tensor([True, True, True, False, True, True])
    total = weight = 0.0
    for (no, yes), y, counts in zip(logits.double().tolist(), matched.tolist(), valid.tolist()):
        p = 1 / (1 + math.exp(no - yes))
        w = (positive_weight if y else 1.0) * counts
        total += w * -(y * math.log(p) + (1 - y) * math.log(1 - p))
        weight += w
    got = matching_loss(logits, matched, valid, positive_weight)
    assert got.item() == pytest.approx(total / weight, abs=1e-6)


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_language_loss_equals_the_loop(smoothing):
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[1, 4, -100], [0, -100, -100]])
    total, count = 0.0, 0
    for row, wanted in zip(logits.double().tolist(), targets.tolist()):
        for scores, target in zip(row, wanted):
            if target == -100:
                continue
            log_sum = math.log(sum(math.exp(s) for s in scores))
            for word, score in enumerate(scores):
                share = (1 - smoothing) * (word == target) + smoothing / len(scores)
                total -= share * (score - log_sum)
            count += 1
    prediction = TextPrediction(logits, targets, torch.nn.Identity())
    assert language_loss(prediction, smoothing).item() == pytest.approx(total / count, abs=1e-6)


def test_a_batch_without_words_has_loss_zero():
    prediction = TextPrediction(torch.randn(1, 2, 5), torch.full((1, 2), -100), torch.nn.Identity())
    assert language_loss(prediction).item() == 0


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: UniVLCLoss(positives='all'), r"must be one of \('mean', 'sum'\), got 'all'"),
        (lambda: Temperature(0.9), r'must lie in temperature_range=\(0.001, 0.5\), got 0.9'),
        (lambda: HardNegatives(uniform_share=2), r'must be in \[0, 1\], got 2'),
        (lambda: HardNegatives(compare_with='old'), r"compare_with must be one of .*, got 'old'"),
        (lambda: MatchingLoss(positive_weight=0), 'must be above 0, got 0'),
        (lambda: LanguageLoss(label_smoothing=1), r'must be in \[0, 1\), got 1'),
        (lambda: FeatureQueues(4, -1), 'must not be negative, got -1'),
        (
            lambda: univlc_loss(*contrast_case([0], []), TAU, 'max'),
            r"must be one of \('mean', 'sum'\), got 'max'",
        ),
    ],
)
def test_wrong_options_have_their_message(make, message):
    with pytest.raises(ValueError, match=message):
        make()
