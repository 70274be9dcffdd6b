"""Figures are of all items that a dataloader has, or there are none."""

import json

import pytest
from torch import nn
from torch.utils.data import DataLoader

from omnivl.datasets import (
    BrokenVisual,
    BrokenVisualError,
    EpochSampler,
    MixedDataset,
    PairDataset,
    SkippedItem,
    collate_samples,
)
from omnivl.evaluation.base import CountedLoader, batches
from omnivl.structures import VLDataSample


class Items:
    """Twelve items; those in ``stops`` end a loop as a damaged video does, those in ``broken`` are skipped."""

    def __init__(self, stops=(), broken=()):
        self.stops, self.broken = stops, broken

    def __len__(self):
        return 12

    def __getitem__(self, index):
        if index in self.stops:
            raise StopIteration
        if index in self.broken:
            return SkippedItem(BrokenVisual('toy', f'{index}.jpg', 'cut'))
        sample = VLDataSample(metainfo=dict(sample_id=str(index), source='toy', modality='image'))
        return dict(inputs={}, pts_seconds={}, data_samples=sample)


def seen(loader):
    model = nn.Module()
    model.data_preprocessor = lambda data, training: dict(batch=None, data_samples=data['data_samples'])
    return [sample.sample_id for _, samples in batches(model, loader, 'toy') for sample in samples]


def build(dataset, **options):
    return DataLoader(dataset, batch_size=5, collate_fn=collate_samples, **options)


def test_an_iteration_that_ends_early_is_an_error():
    with pytest.raises(RuntimeError, match='toy: 5 of 12 items came back'):
        seen(build(Items(stops=[7])))


def test_skipped_items_are_no_lost_ones():
    assert seen(build(Items(broken=[0, 6]))) == [str(index) for index in range(12) if index not in (0, 6)]


def test_batches_that_are_left_out_on_purpose():
    assert len(seen(build(Items(), drop_last=True))) == 10


def test_items_and_skipped_ones_are_counted_by_source():
    data = CountedLoader(build(Items(broken=[0, 6])), 'toy')
    list(data)
    assert (data.given, data.skipped_of_all_ranks()) == ({'toy': 10}, {'toy': 2})
    list(data)
    assert (data.given, data.skipped_of_all_ranks()) == ({'toy': 10}, {'toy': 2})


def test_the_items_of_a_mixture_are_counted_against_each_source(tmp_path):
    def pack(results):
        if results['visual'].endswith('stop1.jpg'):
            raise BrokenVisualError(results['visual'], 'cut')
        meta = {key: results[key] for key in ('sample_id', 'source', 'modality')}
        return dict(inputs={}, pts_seconds={}, data_samples=VLDataSample(metainfo=meta))

    datasets = []
    for name, size in (('a', 5), ('b', 7)):
        rows = [{'image': f'stop{number}.jpg', 'caption': str(number)} for number in range(size)]
        (tmp_path / f'{name}.json').write_text(json.dumps(rows))
        reader = dict(type='BLIPCaptionJSON', ann_file=str(tmp_path / f'{name}.json'), visual_root=str(tmp_path))
        datasets.append(PairDataset(annotations=reader, pipeline=[pack], name=name, broken='skip', max_broken_share=1))
    mixed = MixedDataset(datasets)
    loader = build(mixed, sampler=EpochSampler(mixed, batch_size=5, shuffle=False))
    data = CountedLoader(loader, 'toy')
    list(data)
    assert (data.given, data.skipped_of_all_ranks()) == ({'a': 4, 'b': 6}, {'a': 1, 'b': 1})
    data.given['a'] -= 1
    data.given['b'] += 1
    with pytest.raises(RuntimeError, match=r"12 of 12 items .* \('a' 4 of 5, 'b' 8 of 7\), so the figures would not"):
        data._check()
