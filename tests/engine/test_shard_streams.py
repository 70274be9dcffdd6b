"""Streams whose number of processes changes: the run goes on behind the very sample that was the last."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import init_default_scope
from runs import run_ranks
from shard_toys import picture, write_set

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


def write_ids(index: str, files: str, out: str, global_batch: int) -> None:
    """Train on nothing for a few steps: each process of a run writes down its samples, of files and of shards."""
    init_default_scope('omnivl')
    torch.distributed.init_process_group('gloo')
    ids: dict[str, list] = {}
    for name, reader in (
        ('shards', dict(type='ShardIndex', ann_file=index)),
        ('files', dict(type='BLIPCaptionJSON', ann_file=files, visual_root='')),
    ):
        dataset = dict(
            type='PairDataset',
            name='toy',
            annotations=reader,
            pipeline=[dict(type='LoadImage'), dict(type='PackSample')],
        )
        config = dict(batch_size=global_batch // get_world_size(), dataset=dataset)
        stream = LoaderStream('image', build_loader(config, 'train_dataloader.image', 3, training=True), 3)
        batches = [next(stream) for _ in range(5)]
        ids[name] = [[sample.target_id for sample in batch['data_samples']] for batch in batches]
    Path(out, f'{get_world_size()}-{get_rank()}.json').write_text(json.dumps(ids))


def test_processes_see_the_same_global_batches_of_files_and_shards(tmp_path):
    index = write_set(tmp_path / 'set', [7, 8, 9])
    rows = []
    for number in range(24):
        (tmp_path / f'{number}.png').write_bytes(picture(number))
        rows.append(dict(image=str(tmp_path / f'{number}.png'), caption=f'number {number}'))
    (tmp_path / 'list.json').write_text(json.dumps(rows))
    seen = set()
    for ranks in (1, 2, 3, 4):
        run_ranks(write_ids, str(index), str(tmp_path / 'list.json'), str(tmp_path), 12, ranks=ranks)
        parts = [json.loads((tmp_path / f'{ranks}-{rank}.json').read_text()) for rank in range(ranks)]
        for name in ('shards', 'files'):
            steps = zip(*(part[name] for part in parts))
            seen.add(json.dumps([[one for part in step for one in part] for step in steps]))
    assert len(seen) == 1 and [len(step) for step in json.loads(seen.pop())] == [12] * 5
