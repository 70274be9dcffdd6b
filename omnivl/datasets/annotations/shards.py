"""Shards of img2dataset, video2dataset and webdataset, by the index that ``omnivl shards index`` writes."""

import json
import os
from collections.abc import Iterator
from dataclasses import fields
from functools import cached_property
from typing import Any

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS
from omnivl.storage.shard_index import IndexOfShards
from omnivl.storage.tar_shards import Sample
from omnivl.structures import IMAGE, check_modality, modality_of_path

from .base import AnnotationReader, Record, shorten
from .files import read_class_list, unknown_label_message

FIELDS = {field.name for field in fields(Record)} - {'visual'}


@ANNOTATIONS.register_module()
class ShardIndex(AnnotationReader):
    """Read an index of shards: one record for each picture or clip, with the captions and the class beside it.

    The visual is the URL of a member of a shard (``omnivl/storage/tar_shards.py``); loaders take it like a path.

    Args:
        ann_file: The index.
        visual_root: Folder or URL of the shards; '' = the folder of the index.
        modality: What the visuals are; members of another modality are passed over.
        classes_file: The classes, one per line, in the order of their indices; None = the set has no classes. A label
            may be a class or, as webdataset's ``.cls`` has it, its index.
        class_names_file: The classes in words, one per line, in the order of ``classes_file``; None = as they are.
        empty: What to do with a sample that has no caption, ``'raise'`` or ``'drop'``.
    """

    def __init__(
        self,
        ann_file: str,
        visual_root: str = '',
        modality: str = IMAGE.name,
        classes_file: str | None = None,
        class_names_file: str | None = None,
        empty: str = 'raise',
    ) -> None:
        super().__init__(ann_file, visual_root or os.path.dirname(ann_file), empty)
        self.modality = check_modality(modality, type(self).__name__)
        self.classes_file = classes_file
        self.class_names_file = class_names_file

    @cached_property
    def classes(self) -> list[str] | None:
        """The classes of ``classes_file``."""
        return None if self.classes_file is None else read_class_list(self.classes_file)

    @property
    def class_names(self) -> list[str] | None:
        """The classes in words."""
        if self.class_names_file is None or self.classes is None:
            return super().class_names
        with open(self.class_names_file, encoding='utf-8') as file:
            names = file.read().splitlines()
        if len(names) != len(self.classes):
            raise self.error(
                None, None, f'{self.class_names_file} has {len(names)} names, {self.classes_file} {len(self.classes)}'
            )
        return names

    def read(self) -> Iterator[Record]:
        """Yield the records, shard after shard."""
        try:
            index = IndexOfShards(self.ann_file)
        except OmniVLValueError as error:
            raise self.error(None, None, str(error)) from error
        allowed = set(self.classes or ())
        for sample in index:
            if modality_of_path(sample.visual.name) == self.modality:
                shard = self.path(sample.visual.shard)
                for record in self._records(sample, sample.visual._replace(shard=shard).url):
                    if self.classes is not None:
                        record.label = self._class(record, allowed)
                    yield record

    def _records(self, sample: Sample, url: str) -> Iterator[Record]:
        place = f'{sample.visual.name} of {sample.visual.shard}'
        if sample.records:
            for row in json.loads(sample.records):
                record = self._record(row, url, place)
                if record.text or not row.get('text'):
                    yield record
            return
        key = f'{os.path.splitext(sample.visual.shard)[0]}/{os.path.splitext(sample.visual.name)[0]}'
        lines = [line for line in sample.text.splitlines() if line.strip()]
        # In a set of classes no text is missing.
        texts = self.captions(lines or ([''] if self.classes is None else []), place, 'text')
        if texts or self.classes is not None:
            yield Record(id=key, visual=url, text=texts, label=sample.label or None)

    def _record(self, row: Any, url: str, place: str) -> Record:
        """Make a record of what ``omnivl pack`` has written down."""
        if not isinstance(row, dict) or set(row) - FIELDS or not isinstance(row.get('text', []), list):
            raise self.error(place, 'records', f'expected objects with fields of {sorted(FIELDS)}, got {shorten(row)}')
        clip = row.get('clip')
        record = Record(**{**row, 'visual': url, 'clip': None if clip is None else tuple(clip)})
        record.text = self.captions(record.text, place, 'text')
        return record

    def _class(self, record: Record, allowed: set[str]) -> str:
        label = str(record.label)
        if label not in allowed and label.isascii() and label.isdigit() and int(label) < len(self.classes or ()):
            label = (self.classes or [])[int(label)]
        if label not in allowed:
            raise self.error(record.id, 'label', unknown_label_message(label, self.classes or ()))
        return label
