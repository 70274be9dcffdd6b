"""The momentum encoder and the queues."""

import pytest
import torch
from torch import nn

from omnivl.models.momentum import FeatureQueues, MomentumEncoder


@pytest.mark.parametrize('ramp', [False, True])
def test_it_is_the_exponential_moving_average(ramp):
    layer = nn.Linear(3, 2)
    encoder = MomentumEncoder(dict(layer=layer), momentum=0.9, ramp=ramp)
    expected = layer.weight.detach().clone()
    for step in range(12):
        with torch.no_grad():
            layer.weight.add_(torch.randn_like(layer.weight))
        encoder.update(dict(layer=layer))
        m = min(0.9, (1 + step) / (2 + step)) if ramp else 0.9
        expected = m * expected + (1 - m) * layer.weight.detach()
    assert torch.allclose(encoder.averages['layer'].weight, expected, atol=1e-6)


def test_it_takes_no_gradient_and_stays_in_evaluation_mode(tiny_model, random_batch):
    model = tiny_model().train()
    assert not model.momentum_encoder.training and not model.momentum_encoder.averages['text_encoder'].training
    losses = model.loss(random_batch())
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(p.grad is None and not p.requires_grad for p in model.momentum_encoder.parameters())
    assert all(p.grad is not None for p in model.trunk.visual_proj.parameters())


def test_queues_wrap_around_like_a_ring():
    """Against a list of the last M entries, with batches that do not divide M."""
    queues, length = FeatureQueues(2, 7), 7
    history = []
    for step in range(9):
        size = 1 + step % 4
        visual, text = torch.randn(2, size, 2)
        labels = torch.arange(size) + 100 * step
        queues.push(visual, text, labels)
        history += list(zip(labels.tolist(), visual, text))
        kept = {label: (v, t) for label, v, t in history[-length:]}
        stored = [label for label in queues.target_ids.tolist() if label >= 0]
        assert sorted(stored) == sorted(kept)
        for place, label in enumerate(queues.target_ids.tolist()):
            if label >= 0:
                assert torch.equal(queues.visual[place], kept[label][0])
                assert torch.equal(queues.text[place], kept[label][1])
        assert int(queues.fill) == min(len(history), length)


def test_features_that_are_not_finite_stay_out_of_the_queues():
    """As if they had not been in the batch: places, cursor and fill are those of the others alone."""
    spoilt, clean = FeatureQueues(2, 7), FeatureQueues(2, 7)
    for step in range(5):
        visual, text = torch.randn(2, 4, 2)
        labels = torch.arange(4) + 100 * step
        good = torch.rand(4) < 0.6
        clean.push(visual[good], text[good], labels[good])
        (visual if step % 2 else text)[~good, step % 2] = float('nan') if step else float('inf')
        spoilt.push(visual, text, labels)
    for name, value in clean.state_dict().items():
        assert torch.equal(value, spoilt.state_dict()[name]), name


def test_a_batch_larger_than_the_queue_leaves_its_end():
    queues = FeatureQueues(2, 3)
    queues.push(torch.randn(5, 2), torch.randn(5, 2), torch.arange(5))
    assert sorted(queues.target_ids.tolist()) == [2, 3, 4]


def test_unfilled_labels_match_nothing():
    labels = FeatureQueues(2, 50).target_ids
    assert (labels < 0).all() and len(labels.unique()) == 50


def test_candidates_survive_a_later_push():
    queues = FeatureQueues(2, 3)
    candidates = queues.candidates(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([1]))
    before = candidates.visual.clone()
    queues.push(torch.ones(3, 2), torch.ones(3, 2), torch.arange(3))
    assert torch.equal(candidates.visual, before)


def test_momentum_out_of_range_has_its_message():
    with pytest.raises(ValueError, match=r'momentum must be in \[0, 1\], got 1.5'):
        MomentumEncoder(dict(layer=nn.Linear(1, 1)), momentum=1.5)
