"""Spoken words of videos with the times when they are said, as in HowTo100M: what is said need not be what is seen."""

import os
from collections.abc import Iterator
from typing import Any

from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from .base import AnnotationReader, ReaderOptions, Record, named, shorten
from .files import iter_table, read_json

COLUMNS = ('start', 'end', 'text')
Span = tuple[float, float, str]


@ANNOTATIONS.register_module()
class NarratedVideos(AnnotationReader):
    """Read narrations of videos in the forms of HowTo100M; each is a clip with several texts that may fit it.

    ``caption.json`` is ``{video: {start: [s], end: [s], text: [...]}}``; or ``ann_file`` is a table with a column
    ``video_id`` (``HowTo100M_v1.csv``) and ``captions_root`` a folder with ``<video>.csv`` (start,end,text) of each.
    The texts of a record are its own and those that lie nearest in time, as MIL-NCE (1912.06430) chooses them; a data
    set that keeps all captions (``RetrievalDataset``) hands on all of them (``caption_ids``).

    Args:
        ann_file: The JSON file, or the table.
        visual_root: Folder that ``path_template`` is relative to.
        captions_root: Folder of the narrations, for a table.
        candidates: Number of texts of a record, fewer where a video has fewer.
        min_seconds: A shorter narration is lengthened at both ends to a clip of so many seconds.
        **options: See AnnotationReader; ``path_template`` has the placeholders ``visual`` and ``stem``, of the video's
            name.
    """

    modality = VIDEO.name
    path_template = '{visual}.mp4'
    placeholders = named('')

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        captions_root: str | None = None,
        candidates: int = 1,
        min_seconds: float = 5.0,
        **options: Unpack[ReaderOptions],
    ) -> None:
        super().__init__(ann_file, visual_root, **options)
        if candidates < 1 or min_seconds < 0:
            raise OmniVLValueError(
                f'NarratedVideos: candidates must be at least 1 and min_seconds not negative, got {candidates} and '
                f'{min_seconds}'
            )
        if (captions_root is None) != self.ann_file.endswith('.json'):
            raise OmniVLValueError(
                'NarratedVideos: a table of videos needs captions_root, the folder of their narrations, and a .json '
                f'file has these in it; got ann_file={self.ann_file!r} and captions_root={captions_root!r}'
            )
        self.captions_root = captions_root
        self.candidates = candidates
        self.min_seconds = min_seconds

    def read(self) -> Iterator[Record]:
        """Yield the records, video after video and narration after narration."""
        for video, spans in self._videos():
            path = self.path(self.fill_template(**named(video)))
            for number, (start, end, _) in enumerate(spans):
                first, last = nearest_spans(spans, number, self.candidates)
                order = sorted(range(first, last), key=lambda place: (abs(place - number), place))
                added = max(self.min_seconds - (end - start), 0.0) / 2
                begin = max(start - added, 0.0)
                clip = (begin, max(end + added, begin + self.min_seconds))
                yield Record(f'{video}_{number}', path, text=[spans[place][2] for place in order], clip=clip)

    def _videos(self) -> Iterator[tuple[str, list[Span]]]:
        if self.captions_root is None:
            content = read_json(self.ann_file)
            if not isinstance(content, dict):
                raise self.error(None, None, f'expected {{video: {{start, end, text}}}}, got {shorten(content)}')
            for video, item in content.items():
                columns = [self.value(item, name, list, video) for name in COLUMNS]
                if len({len(column) for column in columns}) > 1:
                    counts = ', '.join(f'{len(column)} {name}' for column, name in zip(columns, COLUMNS))
                    raise self.error(video, 'text', f'start, end and text must be of one length, got {counts}')
                yield video, self._spans(enumerate(zip(*columns)), video)
            return
        for line, row in iter_table(self.ann_file, ',', ('video_id',)):
            path = os.path.join(self.captions_root, f'{row["video_id"]}.csv')
            if not os.path.isfile(path):
                raise self.error(f'line {line}', 'video_id', f'its narration {path} does not exist')
            rows = iter_table(path, ',', COLUMNS)
            parts = ((number, tuple(part[name] for name in COLUMNS)) for number, part in rows)
            yield row['video_id'], self._spans(parts, row['video_id'])

    def _spans(self, rows: Iterator[tuple[int, tuple[Any, ...]]], video: str) -> list[Span]:
        """Check the narrations of a video, sorted by time; those with an empty text are a matter of ``empty``."""
        spans = []
        for number, (start, end, text) in rows:
            place = f'{video}, narration {number}'
            try:
                begin, stop = float(start), float(end)
            except (TypeError, ValueError):
                raise self.error(place, 'start', f'expected seconds, got {start!r} and {end!r}') from None
            if not 0 <= begin <= stop < float('inf'):
                raise self.error(place, 'end', f'expected 0 <= start <= end, got {begin} and {stop}')
            spans += [(begin, stop, kept) for kept in self.captions([text], place, 'text')]
        return sorted(spans, key=lambda span: span[:2])


def nearest_spans(spans: list[Span], number: int, count: int) -> tuple[int, int]:
    """Choose the narrations around one, itself included, that together take the least time at each step.

    MIL-NCE's rule: the neighbour on the side that lengthens the whole less is added, until there are ``count``. Returns
    the first and one behind the last.
    """
    first, last = number, number + 1
    while last - first < min(count, len(spans)):
        before = spans[last - 1][1] - spans[first - 1][0] if first else float('inf')
        after = spans[last][1] - spans[first][0] if last < len(spans) else float('inf')
        if before < after:
            first -= 1
        else:
            last += 1
    return first, last
