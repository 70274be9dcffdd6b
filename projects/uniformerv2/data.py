"""ActivityNet's annotation file, whose form HACS Segments has, too."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from omnivl.datasets.annotations import AnnotationReader, Record
from omnivl.datasets.annotations.files import read_json, require_file
from omnivl.datasets.errors import AnnotationError
from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO


@ANNOTATIONS.register_module()
class ActivityNetJSON(AnnotationReader):
    """Read ``{database: {id: {subset, annotations: [{label, segment: [start, end]}]}}}``.

    Args:
        ann_file: ``activity_net.v1-3.min.json`` or ``HACS_segments_v1.1.1.json``.
        visual_root: Folder that ``path_template`` is relative to.
        subset: ``'training'`` or ``'validation'``; the labels of ``'testing'`` are not published.
        whole_videos: One record for each video, all of it, with its only class: how both sets are tested. False = one
            for each segment.
        path_template: Where a video lies; placeholder ``id``.
    """

    modality = VIDEO.name
    placeholders = dict(id='')

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        subset: str,
        whole_videos: bool = False,
        path_template: str = 'v_{id}.mp4',
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.subset = subset
        self.whole_videos = whole_videos

    @cached_property
    def database(self) -> dict[str, Any]:
        """Id of a video -> what is said of it."""
        require_file(self.ann_file, 'ann_file', 'ActivityNetJSON')
        content = read_json(self.ann_file)
        database = content.get('database') if isinstance(content, dict) else None
        if not isinstance(database, dict) or not database:
            raise AnnotationError(self.ann_file, None, 'database', 'expected {"database": {id: ...}}')
        return database

    @cached_property
    def classes(self) -> list[str]:
        """The labels of all subsets, in alphabetic order."""
        rows = ((name, one) for name, row in self.database.items() for one in self._annotations(row, name))
        return sorted({self.value(one, 'label', str, name) for name, one in rows})

    def _annotations(self, row: Any, name: str) -> list[Any]:
        # The testing subset has none.
        found = row.get('annotations', []) if isinstance(row, dict) else None
        if not isinstance(found, list):
            raise self.error(name, 'annotations', 'expected a list of {label, segment}')
        return found

    def read(self) -> Iterator[Record]:
        """Yield the records, video after video."""
        subsets = {self.value(row, 'subset', str, name) for name, row in self.database.items()}
        if self.subset not in subsets:
            raise OmniVLValueError(
                f'ActivityNetJSON: no video of {self.ann_file} has subset={self.subset!r}; it has {sorted(subsets)}'
            )
        for name, row in self.database.items():
            found = self._annotations(row, name)
            if row['subset'] != self.subset or not found:
                continue
            path = self.path(self.fill_template(id=name))
            labels = sorted({self.value(one, 'label', str, name) for one in found})
            if self.whole_videos and len(labels) > 1:
                raise self.error(name, 'label', f'a whole video has one class, this one has {labels}')
            if self.whole_videos:
                yield Record(id=name, visual=path, label=labels[0])
                continue
            for number, one in enumerate(found):
                clip = self._segment(one, name)
                yield Record(id=f'{name}_{number}', visual=path, label=one['label'], clip=clip)

    def _segment(self, one: dict[str, Any], name: str) -> tuple[float, float]:
        segment = self.value(one, 'segment', list, name)
        numbers = [value for value in segment if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(segment) != 2 or len(numbers) != 2 or not 0 <= numbers[0] < numbers[1]:
            raise self.error(name, 'segment', f'expected [start, end] in seconds, got {segment}')
        return float(numbers[0]), float(numbers[1])
