"""AudioSet's lists of segments, with several classes each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from omnivl.registry import ANNOTATIONS
from omnivl.structures import AUDIO, check_modality

from ..errors import AnnotationError
from .base import AnnotationReader, Record
from .files import iter_lines, iter_table, require_file, unknown_label_message

SECONDS = ('start_seconds', 'end_seconds')


@dataclass(slots=True)
class MultiLabelRecord(Record):
    """A record with any number of classes, none included.

    Attributes:
        labels: The classes, of the reader's ``classes``; ``label`` stays None.
    """

    labels: list[str] = field(default_factory=list)


@ANNOTATIONS.register_module()
class AudioSetCSV(AnnotationReader):
    """Read lines ``YTID, start_seconds, end_seconds, "mid,mid"``: ``balanced_train_segments.csv`` and its like.

    Lines that begin with ``#`` are comments. Classes are the mids of ``class_labels_indices.csv`` (index,mid,
    display_name), in the order of their indices; in words they are the display names. The files are segments that were
    cut already, so a record has no clip, unless ``whole`` says that they are whole videos.

    Args:
        ann_file: The list.
        visual_root: Folder that ``path_template`` is relative to.
        classes_file: ``class_labels_indices.csv``.
        whole: Whether files are whole videos, of which start and end say the part that is meant.
        modality: What the files are to be taken for: sounds, or videos (whose sound a pipeline may load beside).
        path_template: Where a file lies; placeholders ``youtube_id``, ``start`` and ``end`` in whole seconds.
    """

    placeholders = dict(youtube_id='', start=0, end=0)

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        classes_file: str,
        whole: bool = False,
        modality: str = AUDIO.name,
        path_template: str = '{youtube_id}.wav',
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.classes_file = classes_file
        self.whole = whole
        self.modality = check_modality(modality, type(self).__name__)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Mid -> display name, in the order of the indices."""
        require_file(self.classes_file, 'classes_file', type(self).__name__)
        names: dict[str, str] = {}
        for line, row in iter_table(self.classes_file, ',', ('index', 'mid', 'display_name')):
            if row['index'] != str(len(names)) or row['mid'] in names:
                message = f'expected index {len(names)} and a mid of its own, got {row["index"]!r} and {row["mid"]!r}'
                raise AnnotationError(self.classes_file, f'line {line}', 'index', message)
            names[row['mid']] = row['display_name']
        return names

    @property
    def classes(self) -> list[str]:
        """The mids."""
        return list(self._names)

    @property
    def class_names(self) -> list[str]:
        """The display names."""
        return list(self._names.values())

    def read(self) -> Iterator[Record]:
        """Yield the records, line after line."""
        for number, text in iter_lines(self.ann_file):
            if text.lstrip().startswith('#'):
                continue
            place = f'line {number}'
            fields = [part.strip() for part in text.split(',', 3)]
            if len(fields) != 4 or not fields[0] or fields[3][:1] != '"' or fields[3][-1:] != '"' or len(fields[3]) < 2:
                raise self.error(place, None, f'expected YTID, start, end, "mid,mid", got {text!r}')
            start, end = (self._seconds(value, name, place) for value, name in zip(fields[1:3], SECONDS))
            if end <= start:
                raise self.error(place, 'end_seconds', f'{end} is not after start_seconds ({start})')
            labels = [label.strip() for label in fields[3][1:-1].split(',') if label.strip()]
            for label in labels:
                if label not in self._names:
                    raise self.error(place, 'positive_labels', unknown_label_message(label, self.classes))
            path = self.fill_template(youtube_id=fields[0], start=int(start), end=int(end))
            clip = (start, end) if self.whole else None
            record = MultiLabelRecord(f'{fields[0]}_{fields[1]}', self.path(path), clip=clip)
            record.labels = list(dict.fromkeys(labels))
            yield record

    def _seconds(self, value: str, name: str, place: str) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < float('inf'):
            raise self.error(place, name, f'expected seconds, got {value!r}')
        return seconds
