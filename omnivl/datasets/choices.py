"""Visuals with texts to choose from, one item per question."""

from collections.abc import Iterable, Iterator
from typing import Any

from omnivl.errors import OmniVLValueError
from omnivl.registry import DATASETS

from .annotations import Record
from .base import VisualDataset


@DATASETS.register_module()
class ChoiceDataset(VisualDataset):
    """Multiple choice: which of several texts is true of the visual.

    ``results``: ``visual, modality, clip, captions`` (the texts to choose from), ``answer_index`` (which of them is
    true), ``sample_id, source, rng``. The generator is the same in every epoch. For the arguments see VisualDataset.
    """

    draws_anew = False

    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        """One row per question."""
        for record in records:
            if record.choices is None or record.answer_index is None:
                raise OmniVLValueError(
                    f'ChoiceDataset {self.name!r}: record {record.id!r} has no choices with a true one; read the '
                    f'annotations with MultipleChoiceList'
                )
            yield record.visual, record.clip, record.id, record.choices, record.answer_index

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a visual with its texts."""
        visual, clip, record_id, choices, answer_index = self._full_rows()[index]
        info = self._base_info(visual, clip, record_id)
        info.update(captions=choices, answer_index=answer_index)
        return info
