"""Records as they are, one JSON object a line: the form that data of one's own is written down in."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path

from omnivl.registry import ANNOTATIONS
from omnivl.storage.files import write_text
from omnivl.structures import IMAGE, check_modality

from .base import AnnotationReader, Record, shorten
from .files import iter_json_rows, read_class_list, unknown_label_message

FIELDS = tuple(field.name for field in fields(Record))


@ANNOTATIONS.register_module()
class RecordList(AnnotationReader):
    """Read lines ``{id, visual, modality, text?, label?, question?, answers?, clip?}``, the fields of a ``Record``.

    Images and videos may stand in one file: those of another ``modality`` are passed over.

    Args:
        ann_file: The file, ``.jsonl``.
        visual_root: Folder that the paths are relative to.
        modality: What the visuals are.
        classes_file: The classes, one per line, in the order of their indices; None = the set has no classes.
        empty: What to do with an empty caption, ``'raise'`` or ``'drop'``.
    """

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        modality: str = IMAGE.name,
        classes_file: str | None = None,
        empty: str = 'raise',
    ) -> None:
        super().__init__(ann_file, visual_root, empty)
        self.modality = check_modality(modality, type(self).__name__)
        self.classes_file = classes_file

    @cached_property
    def classes(self) -> list[str] | None:
        """The classes of ``classes_file``."""
        return None if self.classes_file is None else read_class_list(self.classes_file)

    def read(self) -> Iterator[Record]:
        """Yield the records, line after line."""
        for place, row in iter_json_rows(self.ann_file):
            if self.value(row, 'modality', str, place) != self.modality:
                continue
            if unknown := sorted(set(row) - {*FIELDS, 'modality'}):
                raise self.error(place, unknown[0], f'no such field; allowed are modality, {", ".join(FIELDS)}')
            record = Record(**{key: value for key, value in row.items() if key != 'modality'})
            record.visual = self.path(self.value(row, 'visual', str, place))
            if not isinstance(record.text, list):
                raise self.error(place, 'text', f'expected a list of captions, got {shorten(record.text)}')
            record.text = self.captions(record.text, place, 'text')
            if self.classes is not None and record.label not in self.classes:
                raise self.error(place, 'label', unknown_label_message(str(record.label), self.classes))
            yield record


def write_records(path: Path, records: Iterable[tuple[str, Record]]) -> None:
    """Write pairs of modality and record as :class:`RecordList` reads them; what a record lacks is left out."""
    rows = (
        dict(modality=modality) | {key: value for key, value in asdict(record).items() if value not in (None, [])}
        for modality, record in records
    )
    write_text(path, ''.join(f'{json.dumps(row, ensure_ascii=False)}\n' for row in rows))
