"""Visuals with captions, one item per caption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from omnivl.registry import DATASETS

from .annotations import Record
from .base import VisualDataset
from .target_ids import caption_target_id


@DATASETS.register_module()
class PairDataset(VisualDataset):
    """Visual-text pairs for pretraining.

    ``results``: ``visual, modality, clip, text, target_id, sample_id, source, rng``. For the arguments see
    VisualDataset.
    """

    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        for record in records:
            if not record.text:
                raise ValueError(
                    f'PairDataset {self.name!r}: record {record.id!r} has no caption; label sets go into a LabelDataset'
                )
            for text in record.text:
                yield record.visual, record.clip, record.id, text

    def get_data_info(self, index: int) -> dict[str, Any]:
        visual, clip, record_id, text = self._full_rows()[index]
        # Captions of one visual share its id, and training lists repeat it row after row.
        info = self._base_info(visual, clip, f'{record_id}#{index}')
        info.update(text=text, target_id=caption_target_id(text))
        return info
