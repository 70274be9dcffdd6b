"""Captions of parts of videos: YouCook2 in its own form and in that of LAVIS."""

import os
from collections.abc import Iterator

from typing_extensions import Unpack

from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from .base import AnnotationReader, ReaderOptions, Record, shorten
from .files import iter_json_list, read_json

ANY_SUFFIX = '.*'


@ANNOTATIONS.register_module()
class YouCook2JSON(AnnotationReader):
    """Read ``{database: {<video>: {subset, recipe_type, annotations: [{id, segment, sentence}]}}}``.

    This is ``youcookii_annotations_trainval.json``. One record per segment, (start, end) in seconds. The annotations
    of the test set are not published; everybody tests on the subset ``validation``.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that ``path_template`` is relative to; ``raw_videos`` of the official script.
        split: The ``subset`` to use, ``'training'`` or ``'validation'``; None = all videos.
        **options: See AnnotationReader; ``path_template`` has the placeholders ``subset``, ``recipe_type`` and
            ``video``. With ``.*`` at the end it is whichever file has this name: the official script stores what
            YouTube has, .mp4, .mkv or .webm.
    """

    modality = VIDEO.name
    path_template = '{subset}/{recipe_type}/{video}.*'
    placeholders = dict(subset='', recipe_type='', video='')

    def __init__(
        self, ann_file: str, visual_root: str, split: str | None = None, **options: Unpack[ReaderOptions]
    ) -> None:
        super().__init__(ann_file, visual_root, **options)
        self.split = split

    def read(self) -> Iterator[Record]:
        """Yield the records, video after video and segment after segment."""
        content = read_json(self.ann_file)
        database = content.get('database') if isinstance(content, dict) else None
        if not isinstance(database, dict):
            raise self.error(None, 'database', "expected {'database': {...}}; a list is read by VideoSegmentList")
        folders: dict[str, dict[str, str]] = {}
        subsets = set()
        for video, item in database.items():
            subset = self.value(item, 'subset', str, video)
            subsets.add(subset)
            if self.split is not None and subset != self.split:
                continue
            values = dict(subset=subset, recipe_type=str(item.get('recipe_type', '')), video=video)
            path = self.path(self.fill_template(**values))
            path = _with_suffix(path, folders) if path.endswith(ANY_SUFFIX) else path
            for row, segment in enumerate(self.value(item, 'annotations', list, video)):
                place = f'{video}, annotation {row}'
                clip = read_segment(self, segment, 'segment', place)
                texts = self.captions([segment.get('sentence')], place, 'sentence')
                if texts:
                    name = f'{video}_{segment.get("id", row)}'
                    yield Record(id=name, visual=path, text=texts, clip=clip)
        if self.split is not None and self.split not in subsets:
            raise self.error(None, 'subset', f'no video is of {self.split!r}; the file has {sorted(subsets)}')


@ANNOTATIONS.register_module()
class VideoSegmentList(AnnotationReader):
    """Read ``[{video_path, ts: [start, end], caption}]``, seconds: LAVIS' ``train_annotations.json`` of YouCook2.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that the paths are relative to.
        visual_field: Field of the path.
        caption_field: Field of the caption.
        segment_field: Field of start and end.
        **options: See AnnotationReader.
    """

    modality = VIDEO.name

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        visual_field: str = 'video_path',
        caption_field: str = 'caption',
        segment_field: str = 'ts',
        **options: Unpack[ReaderOptions],
    ) -> None:
        super().__init__(ann_file, visual_root, **options)
        self.visual_field = visual_field
        self.caption_field = caption_field
        self.segment_field = segment_field

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        for row, item in iter_json_list(self.ann_file, "the official form ({'database': ...}) is read by YouCook2JSON"):
            visual = self.value(item, self.visual_field, str, row)
            clip = read_segment(self, item, self.segment_field, row)
            texts = self.captions([item.get(self.caption_field)], row, self.caption_field)
            if texts:
                yield Record(id=f'{visual}#{row}', visual=self.path(visual), text=texts, clip=clip)


def read_segment(reader: AnnotationReader, row: object, field: str, place: int | str) -> tuple[float, float]:
    """Take start and end out of a JSON row, in seconds; ``place`` is that of the row, for the error message."""
    segment = reader.value(row, field, list, place)
    numbers = len(segment) == 2 and all(isinstance(time, int | float) for time in segment)
    if not numbers or not 0 <= segment[0] < segment[1]:
        raise reader.error(place, field, f'expected [start, end] in seconds, start before end, got {shorten(segment)}')
    return float(segment[0]), float(segment[1])


def _with_suffix(path: str, folders: dict[str, dict[str, str]]) -> str:
    """Put the suffix of the file in the place of ``.*``; .mp4 if there is none, which the broken policy then meets.

    ``folders`` keeps what was listed before: folder -> name without suffix -> name.
    """
    folder, name = os.path.split(path)
    if folder not in folders:
        files = os.listdir(folder) if os.path.isdir(folder) else []
        # Of several files of one name the first in the alphabet is written last and stays.
        folders[folder] = {os.path.splitext(file)[0]: file for file in sorted(files, reverse=True)}
    stem = name.removesuffix(ANY_SUFFIX)
    return os.path.join(folder, folders[folder].get(stem, f'{stem}.mp4'))
