"""The order of the samples: a law per promise of EpochSampler."""

from itertools import chain

import numpy as np
import pytest
from torch.utils.data import BatchSampler

from omnivl.datasets import EpochSampler, SampleKey, samplers
from omnivl.registry import DATA_SAMPLERS


class Sized:
    """A dataset of which only the length and the sources count."""

    def __init__(self, *sizes):
        ends = np.cumsum(sizes)
        self.sources = [(chr(97 + i), int(end - size), int(end)) for i, (end, size) in enumerate(zip(ends, sizes))]

    def __len__(self):
        return self.sources[-1][2]


@pytest.fixture
def make(monkeypatch):
    def _make(size, rank=0, world_size=1, **options):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world_size))
        dataset = Sized(*size) if isinstance(size, tuple) else Sized(size)
        return DATA_SAMPLERS.build({'type': 'EpochSampler', 'dataset': dataset, **options})

    return _make


def batches(sampler):
    return list(BatchSampler(sampler, sampler.batch_size, drop_last=sampler.drop_last))


@pytest.mark.parametrize('epoch', [0, 3])
def test_global_batches_do_not_depend_on_the_number_of_ranks(make, epoch):
    reference = None
    for world_size in (1, 2, 3, 4):
        ranks = [make(53, rank, world_size, batch_size=12 // world_size, seed=5) for rank in range(world_size)]
        for sampler in ranks:
            sampler.set_position(epoch)
        whole = [list(chain(*parts)) for parts in zip(*map(batches, ranks))]
        assert len(whole) == 53 // 12 and all(len(batch) == 12 for batch in whole)
        reference = reference or whole
        assert whole == reference


def test_an_epoch_has_every_sample_once_and_epochs_and_seeds_differ(make):
    sampler = make(20, batch_size=5, seed=1)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert all(isinstance(key, SampleKey) and key.epoch == epoch for key in keys)
        orders.append([key.index for key in keys])
        assert sorted(orders[-1]) == list(range(20))
    orders.append([key.index for key in make(20, batch_size=5, seed=2)])
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize('world_size', [1, 2])
def test_resuming_goes_on_exactly_where_it_stopped(make, world_size):
    for rank in range(world_size):
        whole = batches(make(29, rank, world_size, batch_size=3))
        sampler = make(29, rank, world_size, batch_size=3)
        assert sampler.batches_per_epoch == len(whole) == len(sampler) // 3
        for done in range(len(whole) + 1):
            sampler.set_position(0, done)
            assert batches(sampler) == whole[done:]
            assert len(sampler) == len(whole) * 3


def test_a_position_that_cannot_be_is_refused(make):
    sampler = make(10, batch_size=3)
    with pytest.raises(ValueError, match=r'epoch 0, 4 batches done; an epoch has 3 batches \(did the data, batch_size'):
        sampler.set_position(0, 4)
    with pytest.raises(ValueError, match='without it there is no position inside an epoch'):
        make(10, shuffle=False).set_position(0, 1)


@pytest.mark.parametrize('size', [1, 7, 8, 24, 25])
@pytest.mark.parametrize('world_size', [1, 2, 3])
@pytest.mark.parametrize('batch_size', [None, 4])
@pytest.mark.parametrize('shuffle', [False, True])
def test_without_drop_last_every_sample_comes_once_and_ranks_differ_by_one(make, size, world_size, batch_size, shuffle):
    options = {'shuffle': shuffle, 'drop_last': False, 'batch_size': batch_size}
    ranks = [make(size, rank, world_size, **options) for rank in range(world_size)]
    dealt = [[key.index for key in sampler] for sampler in ranks]
    assert sorted(chain(*dealt)) == list(range(size))
    assert [len(indices) for indices in dealt] == [len(sampler) for sampler in ranks]
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_evaluation_order_is_that_of_the_dataset(make):
    assert [key.index for key in make(5, shuffle=False)] == [0, 1, 2, 3, 4]


def test_weights_set_the_share_of_each_source(make):
    weights = {'a': 1, 'b': 3}
    sampler = make((90, 10), batch_size=10, weights=weights)
    sampler.set_epoch(2)
    indices = np.array([key.index for key in sampler])
    assert len(indices) == 100
    first, second = indices[indices < 90], indices[indices >= 90]
    assert (len(first), len(second)) == (25, 75)
    assert len(set(first.tolist())) == 25  # no sample twice before all others came
    counts = np.bincount(second - 90, minlength=10)
    assert set(counts) == {7, 8}
    # The sources are mixed, and the order does not depend on the number of ranks.
    assert 10 < np.mean(np.flatnonzero(indices < 90)) < 90
    halves = [make((90, 10), rank, 2, batch_size=5, weights=weights) for rank in range(2)]
    for half in halves:
        half.set_epoch(2)
    dealt = [key.index for parts in zip(*map(batches, halves)) for part in parts for key in part]
    assert dealt == indices.tolist()


def test_a_source_of_weight_zero_never_comes_and_remainders_add_up(make):
    sampler = make((5, 5, 4), batch_size=2, weights={'a': 0, 'b': 1, 'c': 1.1})
    indices = sampler.epoch_order(0)
    assert len(indices) == 14 and indices.min() >= 5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'batch_size is missing; it must be the batch_size of the dataloader'),
        ({'batch_size': 0}, 'batch_size=0; it must be at least 1'),
        ({'batch_size': 11}, r'the dataset has 10 samples, fewer than one batch of all processes \(1 x 11\)'),
        ({'batch_size': 2, 'weights': {'b': 1}}, r"weights are given for \['b'\], the sources are \['a'\]"),
        ({'batch_size': 2, 'weights': {'a': -1}}, r"weights=\{'a': -1\}; they must be at least 0, and one above it"),
        ({'shuffle': False, 'weights': {'a': 1}}, 'weights need shuffle=True'),
    ],
)
def test_wrong_options_say_what_is_allowed(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(10, **options)


def test_weights_need_sources():
    with pytest.raises(ValueError, match='weights need a MixedDataset, got list'):
        EpochSampler([0] * 10, batch_size=2, weights={'a': 1})
