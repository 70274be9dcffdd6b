"""Streams whose number of processes changes: the run goes on behind the very sample that was the last."""

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from omnivl.datasets import samplers
from omnivl.datasets.loaders import build_loader
from omnivl.engine import streams
from omnivl.engine.streams import LoaderStream


class Numbers:
    """Its samples are their own indices."""

    def __init__(self, size, group=None):
        self.size = size
        self.group_ends = np.minimum(np.arange(group or size, size + (group or size), group or size), size)

    def __len__(self):
        return self.size

    def __getitem__(self, key):
        return key


@pytest.fixture
def make(monkeypatch):
    init_default_scope('omnivl')

    def _make(size, world_size, batch_size=2, window=None):
        """The streams of all ranks, and a function that gives the next batch of all of them."""
        found = []
        monkeypatch.setattr(streams, 'get_world_size', lambda: world_size)
        for rank in range(world_size):
            monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, world_size))
            config = dict(
                batch_size=batch_size,
                dataset=Numbers(size, 5),
                sampler=dict(type='EpochSampler', window=window),
                collate_fn=lambda batch: dict(keys=batch),
            )
            found.append(LoaderStream('image', build_loader(config, 'train_dataloader.image', 3, training=True), 3))
        return found, lambda: [key for stream in found for key in next(stream)['keys']]

    return _make


@pytest.mark.parametrize('window', [None, 2])
def test_every_sample_of_the_epoch_comes_once_on_four_two_and_three_processes(make, window):
    order, state, warnings = [], None, []
    for world_size, batches in ((4, 3), (2, 5), (3, 3), (1, 1)):
        ranks, step = make(64, world_size, window=window)
        if state is not None:
            warnings += {rank.load_state_dict(state) for rank in ranks}
        for _ in range(batches):
            order += step()
        (state,) = {str(rank.state_dict()): rank.state_dict() for rank in ranks}.values()
    assert len(order) == 24 + 20 + 18 + 2 == 64
    assert [key.index for key in order] == ranks[0].sampler.epoch_order(0).tolist()
    assert {key.epoch for key in order} == {0}
    assert warnings[0] == (
        'image: a step had 8 samples over all processes and now has 4; the run goes on behind the last of these '
        'samples, but not bit for bit'
    )
    # The epoch ends where its samples end, and the next one is whole again.
    assert all(rank.epochs_completed == 1 for rank in ranks)
    assert {key.epoch for key in step()} == {1} and all(rank.epochs_completed == 1 for rank in ranks)


def test_an_epoch_that_changes_its_batches_drops_what_fills_none(make):
    ranks, step = make(21, 2)
    taken = step() + step() + step()
    state = ranks[0].state_dict()
    ranks, step = make(21, 3)
    for rank in ranks:
        rank.load_state_dict(state)
    assert ranks[0].shift == 0 and ranks[0].batches_done == 2
    ranks, step = make(21, 1, batch_size=5)
    ranks[0].load_state_dict(state)
    assert (ranks[0].batches_done, ranks[0].shift) == (2, 2)
    taken += step()
    assert [key.index for key in taken] == ranks[0].sampler.epoch_order(0)[:17].tolist()
    assert ranks[0].epochs_completed == 1 and ranks[0].state_dict()['shift'] == 2
    again, more = make(21, 1, batch_size=5)
    assert again[0].load_state_dict(ranks[0].state_dict()) is None
    assert again[0].epochs_completed == 1
    assert [key.epoch for key in more()] == [1] * 5 and again[0].shift == 0


def test_the_place_of_an_epoch_costs_nothing(make):
    """Behind any number of batches the first sample is looked up, and none before it is loaded."""
    (stream,), step = make(50_000, 1)
    loaded = []
    stream.dataset.__class__ = type(
        'Counting', (Numbers,), dict(__getitem__=lambda self, key: loaded.append(key) or key)
    )
    stream.load_state_dict(stream.state_dict() | dict(batches_done=20_000))
    assert step() == loaded and len(loaded) == 2
    assert loaded[0].index == stream.sampler.epoch_order(0)[40_000]


def test_a_sampler_without_shifts_goes_on_at_about_the_same_place(make, monkeypatch):
    (stream,), _ = make(64, 1)
    monkeypatch.delattr(samplers.EpochSampler, 'batches_after')
    warning = stream.load_state_dict(stream.state_dict() | dict(batches_done=3, global_batch=5))
    assert 'goes on at the same share of the epoch' in warning and (stream.batches_done, stream.shift) == (7, 0)
