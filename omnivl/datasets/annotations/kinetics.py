"""Kinetics: the official CSV, and the path-label lists of mmaction."""

import os
from collections.abc import Iterator
from functools import cached_property

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO, check_modality

from .base import AnnotationReader, Record
from .files import iter_lines, iter_table, read_class_list, require_file, unknown_label_message


@ANNOTATIONS.register_module()
class KineticsCSV(AnnotationReader):
    """Read ``label,youtube_id,time_start,time_end,split[,is_cc]``.

    The downloaded file is the clip already, so ``clip`` of the records stays None.

    Args:
        ann_file: The CSV file.
        visual_root: Folder of the class folders.
        split: Rows to use, by the column ``split``; None = all.
        classes_file: The allowed labels, one per line, in the order of their indices (``label_map_k400.txt``). None =
            the labels of the file in alphabetic order, which is Kinetics' own order.
        path_template: Where a clip lies; placeholders ``label``, ``class_folder`` (spaces as underscores),
            ``youtube_id``, ``time_start`` and ``time_end`` (whole seconds).
    """

    modality = VIDEO.name
    placeholders = dict(label='', class_folder='', youtube_id='', time_start=0, time_end=0)

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        split: str | None = None,
        classes_file: str | None = None,
        path_template: str = '{class_folder}/{youtube_id}_{time_start:06d}_{time_end:06d}.mp4',
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.split = split
        self.classes_file = classes_file

    @cached_property
    def classes(self) -> list[str]:
        """The labels, of all splits."""
        if self.classes_file is not None:
            require_file(self.classes_file, 'classes_file', 'KineticsCSV')
            return read_class_list(self.classes_file)
        require_file(self.ann_file, 'ann_file', 'KineticsCSV')
        return sorted({row['label'] for _, row in self._rows()})

    def _rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        columns = ['label', 'youtube_id', 'time_start', 'time_end'] + (['split'] if self.split is not None else [])
        for line, row in iter_table(self.ann_file, ',', columns):
            for column in ('label', 'youtube_id'):
                row[column] = row[column].strip()
                if not row[column]:
                    raise self.error(f'line {line}', column, 'the field is empty')
            yield line, row

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        allowed = set(self.classes)
        splits: set[str] = set()
        found = False
        for line, row in self._rows():
            place = f'line {line}'
            if self.split is not None:
                splits.add(row['split'])
                if row['split'] != self.split:
                    continue
            found = True
            label = row['label']
            if label not in allowed:
                raise self.error(place, 'label', unknown_label_message(label, self.classes))
            start, end = (self._seconds(row, column, place) for column in ('time_start', 'time_end'))
            if end <= start:
                raise self.error(place, 'time_end', f'{end} is not after time_start ({start})')
            relative = self.fill_template(
                label=label,
                class_folder=label.replace(' ', '_'),
                youtube_id=row['youtube_id'],
                time_start=start,
                time_end=end,
            )
            yield Record(id=os.path.splitext(relative)[0], visual=self.path(relative), label=label)
        if self.split is not None and not found:
            raise self.error(None, 'split', f'no row has split {self.split!r}; the file has {sorted(splits)}')

    def _seconds(self, row: dict[str, str], column: str, place: str) -> int:
        # ASCII only: isdigit alone also takes superscripts, which int does not.
        if not (row[column].isascii() and row[column].isdigit()):
            raise self.error(place, column, f'expected whole seconds, got {row[column]!r}')
        return int(row[column])


@ANNOTATIONS.register_module()
class MMActionList(AnnotationReader):
    """Read lines ``path label``, the label being an index: mmaction's and VideoMAE's lists, mmpretrain's meta files.

    The line is split at its last delimiter, so paths may contain spaces.

    Args:
        ann_file: The list.
        visual_root: Folder that the paths are relative to.
        classes_file: The class names, one per line, in the order of their indices.
        delimiter: What stands between path and label (VideoMAE's lists: ``','``).
        modality: What the visuals are.
    """

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        classes_file: str,
        delimiter: str = ' ',
        modality: str = VIDEO.name,
    ) -> None:
        super().__init__(ann_file, visual_root)
        if not delimiter:
            raise OmniVLValueError("MMActionList: delimiter=''; give the characters between path and label")
        self.classes_file = classes_file
        self.delimiter = delimiter
        self.modality = check_modality(modality, type(self).__name__)

    @cached_property
    def classes(self) -> list[str]:
        """The class names."""
        require_file(self.classes_file, 'classes_file', 'MMActionList')
        return read_class_list(self.classes_file)

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        for line, text in iter_lines(self.ann_file):
            place = f'line {line}'
            relative, found, label = text.strip().rpartition(self.delimiter)
            relative, label = relative.strip(), label.strip()
            if not found or not relative:
                raise self.error(place, None, f'expected "path{self.delimiter}label", got {text!r}')
            if not (label.isascii() and label.isdigit()):
                raise self.error(place, 'label', f'expected the index of a class, got {label!r}')
            if int(label) >= len(self.classes):
                raise self.error(
                    place, 'label', f'index {label}, but {self.classes_file} names classes 0 to {len(self.classes) - 1}'
                )
            yield Record(id=relative, visual=self.path(relative), label=self.classes[int(label)])
