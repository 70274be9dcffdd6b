"""Samples with any number of classes, as AudioSet has them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import DATASETS

from .annotations import AnnotationReader, MultiLabelRecord, Record
from .base import DatasetOptions, VisualDataset
from .prompts import fill_prompt, get_templates


@DATASETS.register_module()
class MultiLabelDataset(VisualDataset):
    """Samples with a set of classes: ``label`` is 1 for each class that is there and 0 for the others, (C,).

    So ``VLBatch.labels`` is int64 (B, C), which a loss of each class by itself takes (binary cross entropy).

    ``results``: ``visual, modality, clip, label, sample_id, source, rng``, and with templates ``text``: a template,
    drawn anew in each epoch, filled with the names of the classes in a random order.

    Args:
        annotations: See VisualDataset; a reader that yields ``MultiLabelRecord``.
        pipeline: See VisualDataset.
        name: See VisualDataset.
        templates: As in LabelDataset; None = no text. A sample without a class has an empty text.
        **options: See VisualDataset.
    """

    classes: list[str]  # since full_init

    def __init__(
        self,
        annotations: dict | AnnotationReader,
        pipeline: Sequence[dict | Callable],
        name: str,
        templates: str | Sequence[str] | None = None,
        **options: Unpack[DatasetOptions],
    ) -> None:
        self.templates = None if templates is None else get_templates(templates)
        super().__init__(annotations, pipeline, name, **options)

    def full_init(self) -> None:
        """Read classes and annotations, once."""
        if self.rows is None:
            names = self.reader.class_names
            if names is None:
                raise OmniVLValueError(
                    f'MultiLabelDataset {self.name!r}: {type(self.reader).__name__} reads no classes'
                )
            self.classes = list(names)
        super().full_init()

    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        """One row per record, with the numbers of its classes; a record of one class is an ``OmniVLValueError``."""
        index = {label: number for number, label in enumerate(self.reader.classes or ())}
        for record in records:
            if not isinstance(record, MultiLabelRecord):
                raise OmniVLValueError(
                    f'MultiLabelDataset {self.name!r}: {type(self.reader).__name__} reads one class each; that goes '
                    'into a LabelDataset'
                )
            yield record.visual, record.clip, record.id, tuple(sorted(index[label] for label in record.labels))

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a visual with 1 for each of its classes and 0 for the others."""
        visual, clip, record_id, labels = self._full_rows()[index]
        row = [0] * len(self.classes)
        for label in labels:
            row[label] = 1
        return self._base_info(visual, clip, record_id) | dict(label=tuple(row))

    def draw_text(self, info: dict[str, Any], rng: np.random.Generator) -> None:
        """Fill a template that is drawn anew with the names of the classes."""
        if self.templates is not None:
            template = self.templates[rng.integers(len(self.templates))]
            names = [self.classes[place] for place in rng.permutation(np.flatnonzero(info['label']))]
            info['text'] = fill_prompt(template, ' and '.join(names)) if names else ''
