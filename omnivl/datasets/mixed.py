"""Several sources of one modality behind one dataloader."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from omnivl.errors import OmniVLValueError
from omnivl.registry import DATASETS
from omnivl.structures import MODALITIES

from .base import VisualDataset
from .broken import SkippedItem
from .samplers import SampleKey


@DATASETS.register_module()
class MixedDataset(Dataset):
    """Concatenation of datasets of one modality: image-text and image-label, or video-text and video-label.

    An item is the same as in the dataset it comes from. How often each source is drawn is the sampler's ``weights``.

    Args:
        datasets: Configs of datasets, or datasets; their names must differ.
        lazy_init: Read the annotations in ``full_init()``; datasets that are given as configs get it too.
    """

    classes: list[str] | None = None

    def __init__(self, datasets: Sequence[dict | VisualDataset], lazy_init: bool = False) -> None:
        if not datasets:
            raise OmniVLValueError('MixedDataset: datasets is empty; give at least one')
        self.datasets: list[VisualDataset] = [
            DATASETS.build({**dataset, 'lazy_init': lazy_init}) if isinstance(dataset, dict) else dataset
            for dataset in datasets
        ]
        names = [dataset.name for dataset in self.datasets]
        if len(set(names)) < len(names):
            raise OmniVLValueError(
                f'MixedDataset: the names {names} must differ; they seed the draws and name the samples'
            )
        modalities = {dataset.name: dataset.modality for dataset in self.datasets}
        if len(set(modalities.values())) > 1:
            kinds = ' and '.join(MODALITIES[name].plural for name in sorted(set(modalities.values())))
            raise OmniVLValueError(
                f'MixedDataset: {modalities}; a batch has one modality, {kinds} need a dataloader each'
            )
        self._ends: np.ndarray | None = None
        if not lazy_init:
            self.full_init()

    @property
    def name(self) -> str:
        """The names of the sources."""
        return '+'.join(dataset.name for dataset in self.datasets)

    @property
    def modality(self) -> str:
        """What its visuals are, a name of ``structures/modality.py``."""
        return self.datasets[0].modality

    @property
    def sources(self) -> list[tuple[str, int, int]]:
        """Name, first index and end of each source."""
        ends = self._full_ends()
        starts = [0, *ends[:-1]]
        return [(d.name, int(start), int(end)) for d, start, end in zip(self.datasets, starts, ends)]

    @property
    def group_ends(self) -> np.ndarray:
        """Where the items of each shard end, see VisualDataset; int64 (G,)."""
        return np.concatenate([start + d.group_ends for d, (_, start, _) in zip(self.datasets, self.sources)])

    def full_init(self) -> None:
        """Read the annotations of all sources, once."""
        for dataset in self.datasets:
            dataset.full_init()
        self._ends = np.cumsum([len(dataset) for dataset in self.datasets])

    def __len__(self) -> int:
        return int(self._full_ends()[-1])

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any] | SkippedItem:
        index, epoch = key if isinstance(key, SampleKey) else (operator.index(key), 0)
        if not -len(self) <= index < len(self):
            raise IndexError(f'{self.name!r} has {len(self)} items, there is no item {index}')
        source, place = self._place(index % len(self))
        return source[SampleKey(place, epoch)]

    @property
    def is_served(self) -> bool:
        """Whether a server may have visuals of some source."""
        return any(dataset.is_served for dataset in self.datasets)

    def fetch_ahead(self, index: int) -> None:
        """Have the shard of an item fetched while others are used, see VisualDataset."""
        source, place = self._place(index)
        source.fetch_ahead(place)

    def _place(self, index: int) -> tuple[VisualDataset, int]:
        # An index that is the end of a source belongs to the next one.
        source = int(np.searchsorted(self._full_ends(), index, side='right'))
        return self.datasets[source], index - self.sources[source][1]

    def _full_ends(self) -> np.ndarray:
        if self._ends is None:
            self.full_init()
        assert self._ends is not None
        return self._ends
