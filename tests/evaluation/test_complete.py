"""Figures are of all items that a dataloader has, or there are none."""

import pytest
from torch import nn
from torch.utils.data import DataLoader

from omnivl.datasets import BrokenVisual, SkippedItem, collate_samples
from omnivl.evaluation.base import batches
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
