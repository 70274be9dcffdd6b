"""Visuals that are to be captioned, for evaluation."""

from __future__ import annotations

from typing import Any

from omnivl.registry import DATASETS

from .retrieval import RetrievalDataset


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
