"""Visuals with captions, one item per caption."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import DATASETS

from .annotations import AnnotationReader, Record
from .base import DatasetOptions, VisualDataset
from .target_ids import caption_target_id, visual_target_id

POSITIVES = ('caption', 'visual')


@DATASETS.register_module()
class PairDataset(VisualDataset):
    """Visual-text pairs for pretraining and for retrieval finetuning.

    ``results``: ``visual, modality, clip, text, target_id, sample_id, source, rng``.

    Args:
        annotations: See VisualDataset; a reader of captions.
        pipeline: See VisualDataset.
        name: See VisualDataset.
        positives: Which pairs are positives of each other: those with the same words, ``'caption'``; or those of the
            same visual, ``'visual'``, as BLIP finetunes retrieval: where a visual has several captions, each of them
            would else be pushed away from it for the sake of the others.
        **options: See VisualDataset.
    """

    def __init__(
        self,
        annotations: dict | AnnotationReader,
        pipeline: Sequence[dict | Callable],
        name: str,
        positives: str = 'caption',
        **options: Unpack[DatasetOptions],
    ) -> None:
        if positives not in POSITIVES:
            raise OmniVLValueError(f'PairDataset {name!r}: positives={positives!r}; allowed are {POSITIVES}')
        self.positives = positives
        super().__init__(annotations, pipeline, name, **options)

    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        """One row per caption."""
        for record in records:
            if not record.text:
                raise OmniVLValueError(
                    f'PairDataset {self.name!r}: record {record.id!r} has no caption; label sets go into a LabelDataset'
                )
            for text in record.text:
                yield record.visual, record.clip, record.id, text

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a visual with one of its captions."""
        visual, clip, record_id, text = self._full_rows()[index]
        # Captions of one visual share its id, and training lists repeat it row after row.
        info = self._base_info(visual, clip, f'{record_id}#{index}')
        by_visual = self.positives == 'visual'
        info.update(text=text, target_id=visual_target_id(visual, clip) if by_visual else caption_target_id(text))
        return info
