"""Sentences about parts of long videos: LSMDC's tables of movie clips, and ActivityNet Captions."""

from collections.abc import Iterator

from typing_extensions import Unpack

from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from .base import AnnotationReader, ReaderOptions, Record, shorten
from .files import iter_delimited, read_json

LSMDC_FIELDS = 6


@ANNOTATIONS.register_module()
class LSMDCTable(AnnotationReader):
    """Read ``LSMDC16_annos_training.csv``, ``..._val.csv`` and ``LSMDC16_challenge_1000_publictect.csv``.

    Their fields are apart by tabs: name of the clip, start and end twice (aligned by hand, and as it was cut), and the
    sentence, in which people are SOMEONE. One record per clip.

    Args:
        ann_file: The table.
        visual_root: Folder that ``path_template`` is relative to.
        **options: See AnnotationReader; ``path_template`` has the placeholders ``movie`` and ``clip``.
    """

    modality = VIDEO.name
    path_template = '{movie}/{clip}.avi'
    placeholders = dict(movie='', clip='')

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        for line, fields in iter_delimited(self.ann_file, '\t'):
            place = f'line {line}'
            if len(fields) != LSMDC_FIELDS:
                raise self.error(place, None, f'{len(fields)} fields apart by tabs, expected {LSMDC_FIELDS}')
            clip, sentence = fields[0].strip(), fields[-1]
            movie = clip.rpartition('_')[0]  # 0001_American_Beauty_00.00.51.926-00.00.54.129
            if not movie:
                raise self.error(place, 'clip', f'expected <movie>_<start>-<end>, got {shorten(clip)}')
            if texts := self.captions([sentence], place, 'sentence'):
                yield Record(id=clip, visual=self.path(self.fill_template(movie=movie, clip=clip)), text=texts)


@ANNOTATIONS.register_module()
class ActivityNetCaptions(AnnotationReader):
    """Read ``{v_<id>: {duration, timestamps: [[start, end]], sentences: [...]}}``: train.json, val_1.json, val_2.json.

    One record per sentence, of its part of the video; some of the published parts are given from end to start. For
    retrieval of paragraphs take ``whole=True`` inside ParagraphCaptions.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that ``path_template`` is relative to.
        whole: Whether each sentence is of the whole video.
        **options: See AnnotationReader; ``path_template`` has the placeholder ``video``.
    """

    modality = VIDEO.name
    path_template = '{video}.mp4'
    placeholders = dict(video='')

    def __init__(self, ann_file: str, visual_root: str, whole: bool = False, **options: Unpack[ReaderOptions]) -> None:
        super().__init__(ann_file, visual_root, **options)
        self.whole = whole

    def read(self) -> Iterator[Record]:
        """Yield the records, video after video and sentence after sentence."""
        content = read_json(self.ann_file)
        if not isinstance(content, dict):
            raise self.error(None, None, "expected {'v_<id>': {timestamps, sentences}}, as published")
        for video, item in content.items():
            parts, sentences = (self.value(item, key, list, video) for key in ('timestamps', 'sentences'))
            if len(parts) != len(sentences):
                raise self.error(video, 'timestamps', f'{len(parts)} for {len(sentences)} sentences')
            path = self.path(self.fill_template(video=video))
            for number, (part, sentence) in enumerate(zip(parts, sentences)):
                place = f'{video}, sentence {number}'
                texts = self.captions([sentence], place, 'sentences')
                if texts:
                    clip = None if self.whole else self._clip(part, place)
                    yield Record(id=f'{video}#{number}', visual=path, text=texts, clip=clip)

    def _clip(self, part: object, place: str) -> tuple[float, float]:
        numbers = part if isinstance(part, list) and all(isinstance(time, int | float) for time in part) else []
        if len(numbers) != 2 or min(numbers) < 0 or numbers[0] == numbers[1]:
            raise self.error(place, 'timestamps', f'expected two different times in seconds, got {shorten(part)}')
        return float(min(numbers)), float(max(numbers))
