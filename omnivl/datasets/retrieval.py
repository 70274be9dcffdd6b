"""Visuals with all their captions, or to be captioned, for evaluation."""

from collections.abc import Iterable, Iterator
from typing import Any

from omnivl.errors import OmniVLValueError
from omnivl.registry import DATASETS

from .annotations import Record
from .base import VisualDataset


@DATASETS.register_module()
class RetrievalDataset(VisualDataset):
    """One item per visual; rows of the annotation file about the same visual are put together.

    ``results``: ``visual, modality, clip, captions, sample_id, source, rng``. The generator is the same in every epoch.
    For the arguments see VisualDataset.
    """

    draws_anew = False
    needs_captions = True

    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        """One row per visual, or part of a video, with all captions of it."""
        found: dict[tuple, tuple[str, list[str], str | None]] = {}
        for record in records:
            if self.needs_captions and not record.text:
                raise OmniVLValueError(f'RetrievalDataset {self.name!r}: record {record.id!r} has no caption')
            _, captions, _ = found.setdefault((record.visual, record.clip), (record.id, [], record.domain))
            captions.extend(record.text)
        names = [name for name, _, _ in found.values()]
        if len(set(names)) < len(names):
            # Predictions are put together by id, so different visuals must not share one.
            names = [f'{name}#{number}' for number, name in enumerate(names)]
        return ((*visual, name, texts, domain) for name, (visual, (_, texts, domain)) in zip(names, found.items()))

    def get_data_info(self, index: int) -> dict[str, Any]:
        visual, clip, record_id, captions, _ = self._full_rows()[index]
        info = self._base_info(visual, clip, record_id)
        info['captions'] = captions
        return info


@DATASETS.register_module()
class CaptionDataset(RetrievalDataset):
    """One item per visual, whose captions may not be published; segments of a video are visuals of their own.

    ``results``: those of RetrievalDataset, ``references`` (the captions as they were published; official metrics count
    what cleaning takes away) and, where the annotations have it, ``domain``. For the arguments see VisualDataset.
    """

    needs_captions = False

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a visual with its captions."""
        info = super().get_data_info(index)
        info['references'] = info['captions']
        domain = self._full_rows()[index][4]
        return info if domain is None else info | {'domain': domain}
