"""Visuals with a class, whose text is a prompt."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS, DATASETS

from .annotations import AnnotationReader, Record
from .base import DatasetOptions, VisualDataset
from .errors import AnnotationError
from .prompts import fill_prompt, get_templates
from .target_ids import class_target_id


@DATASETS.register_module()
class LabelDataset(VisualDataset):
    """Visual-label pairs; the class becomes a text through a template drawn anew in each epoch.

    ``results``: ``visual, modality, clip, label, target_id, sample_id, source, rng``, and with templates ``text``.

    Args:
        annotations: See VisualDataset; a reader of a label set.
        pipeline: See VisualDataset.
        name: See VisualDataset.
        templates: ``'clip_image'``, ``'actionclip'`` or a list of sentences with ``{}`` where the class name goes;
            None = no text, for what learns or evaluates classes alone.
        label_space: Classes of equal label space and name are one target of the contrastive loss; None = ``name``.
        **options: See VisualDataset; ``max_items`` are evenly spaced, as the files are sorted by class.
    """

    classes: list[str]  # since full_init

    def __init__(
        self,
        annotations: dict | AnnotationReader,
        pipeline: Sequence[dict | Callable],
        name: str,
        templates: str | Sequence[str] | None = None,
        label_space: str | None = None,
        **options: Unpack[DatasetOptions],
    ) -> None:
        self.templates = None if templates is None else get_templates(templates)
        self.label_space = name if label_space is None else label_space
        super().__init__(annotations, pipeline, name, **options)
        if self.templates is None and any(getattr(step, 'text_only', False) for step in self.transforms):
            raise OmniVLValueError(
                f'LabelDataset {name!r}: its pipeline has transforms of text, but templates=None makes no text; give '
                'templates, or a pipeline without CleanCaption and TokenizeText'
            )

    def full_init(self) -> None:
        """Read classes and annotations, once."""
        if self.rows is None:
            classes, names = self.reader.classes, self.reader.class_names
            if classes is None or names is None:
                raise OmniVLValueError(
                    f'LabelDataset {self.name!r}: {type(self.reader).__name__} reads captions, not classes; '
                    f'captions go into a PairDataset'
                )
            self.classes = list(names)
            self.class_target_ids = [class_target_id(self.label_space, label) for label in classes]
        super().full_init()

    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        index = {label: number for number, label in enumerate(self.reader.classes or ())}
        for record in records:
            yield record.visual, record.clip, record.id, index[record.label]

    def select_rows(self, rows: Iterable[tuple]) -> Iterable[tuple]:
        if self.max_items is None:
            return rows
        rows = list(rows)  # how many there are must be known before the first is taken
        count = min(self.max_items, len(rows))
        return [rows[number * len(rows) // count] for number in range(count)]

    def get_data_info(self, index: int) -> dict[str, Any]:
        visual, clip, record_id, label = self._full_rows()[index]
        info = self._base_info(visual, clip, record_id)
        info.update(label=label, target_id=self.class_target_ids[label])
        return info

    def draw_text(self, info: dict[str, Any], rng: np.random.Generator) -> None:
        if self.templates is None:
            return
        template = self.templates[rng.integers(len(self.templates))]
        info['text'] = fill_prompt(template, self.classes[info['label']])


def distinct_names(names: Sequence[str]) -> list[str]:
    """Class names in the order of the labels; several of one name get their label behind it, as 'crane (134)'."""
    counts = Counter(names)
    return [name if counts[name] == 1 else f'{name} ({label})' for label, name in enumerate(names)]


def configured_classes(loaders: Mapping[str, Any] | None) -> list[str] | None:
    """Return the distinct class names of the first label set among the loaders of a config (name -> config).

    None where there is no such set, or its annotations are not on this machine.
    """
    for loader in (loaders or {}).values():
        annotations = loader['dataset'].get('annotations')
        if annotations is None:
            continue
        try:
            reader = ANNOTATIONS.build(dict(annotations))
            if reader.class_names is not None:
                return distinct_names(reader.class_names)
        except (AnnotationError, OSError):
            continue
    return None
