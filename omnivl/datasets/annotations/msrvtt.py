"""MSR-VTT's own captions, and the lists that name the videos of its retrieval splits."""

from collections.abc import Iterator

from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from .base import AnnotationReader, ReaderOptions, Record
from .files import iter_table, read_json, require_file

_HINT = (
    "expected {'videos': [...], 'sentences': [...]}; {'video0.mp4': [captions]} is read by CaptionDictJSON, a list of "
    'captions by BLIPCaptionJSON'
)


@ANNOTATIONS.register_module()
class MSRVTTJSON(AnnotationReader):
    """Read ``{videos: [{video_id, split}], sentences: [{video_id, caption}]}``; a record per video, with all captions.

    ==============================  ==================================  ================================================
    set                             ``ann_file``                        option
    ==============================  ==================================  ================================================
    9k, to be tested on 1kA         ``MSRVTT_data.json`` (CLIP4Clip)    ``videos_file='MSRVTT_train.9k.csv'``
    7k, to be tested on 1kA         ``MSRVTT_data.json``                ``videos_file='MSRVTT_train.7k.csv'``
    6513 / 497 videos               ``train_val_videodatainfo.json``    ``split='train'`` / ``split='validate'``
    2990 videos                     ``test_videodatainfo.json``         ``split='test'``
    ==============================  ==================================  ================================================

    The 1000 videos of the test set 1kA have one caption each, which stands in a table of its own: see MSRVTTTestCSV.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that ``path_template`` is relative to.
        videos_file: A CSV file whose column ``video_id`` names the videos to take.
        split: The videos to take, by their field ``split``. None, and no ``videos_file``: all videos.
        **options: See AnnotationReader; ``path_template`` has the placeholder ``video``.
    """

    modality = VIDEO.name
    path_template = '{video}.mp4'
    placeholders = dict(video='')
    alternatives = True

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        videos_file: str | None = None,
        split: str | None = None,
        **options: Unpack[ReaderOptions],
    ) -> None:
        super().__init__(ann_file, visual_root, **options)
        if videos_file is not None and split is not None:
            raise OmniVLValueError('MSRVTTJSON: videos_file and split both choose the videos; give one of them')
        self.videos_file = videos_file
        self.split = split

    def read(self) -> Iterator[Record]:
        """Yield the records, in the order of ``videos_file`` or of the file's list of videos."""
        content = read_json(self.ann_file)
        content = content if isinstance(content, dict) else {}
        videos, sentences = content.get('videos'), content.get('sentences')
        if not isinstance(videos, list) or not isinstance(sentences, list):
            raise self.error(None, None, _HINT)
        wanted = self._of_split(videos) if self.videos_file is None else self._listed(self.videos_file)
        captions: dict[str, list[str]] = {video: [] for video in wanted}
        known = set()
        for row, sentence in enumerate(sentences):
            place = f'sentence {row}'
            video = self.value(sentence, 'video_id', str, place)
            known.add(video)
            if video in captions:
                captions[video] += self.captions([sentence.get('caption')], place, 'caption')
        for video, texts in captions.items():
            if video not in known:
                raise self.error(None, 'sentences', f'no caption of {video!r}, which {wanted[video]} names')
            if texts:
                path = self.fill_template(video=video)
                yield Record(id=video, visual=self.path(path), text=texts)

    @staticmethod
    def _listed(videos_file: str) -> dict[str, str]:
        """Video -> where it is named."""
        require_file(videos_file, 'videos_file', 'MSRVTTJSON')
        rows = iter_table(videos_file, ',', ('video_id',))
        return {row['video_id']: f'{videos_file}, line {line},' for line, row in rows}

    def _of_split(self, videos: list) -> dict[str, str]:
        """Video -> where it is named."""
        wanted, splits = {}, set()
        for row, video in enumerate(videos):
            place = f'video {row}'
            if self.split is not None:
                splits.add(self.value(video, 'split', str, place))
            if self.split is None or video['split'] == self.split:
                wanted[self.value(video, 'video_id', str, place)] = place
        if not wanted:
            raise self.error(None, 'split', f'no video has split {self.split!r}; the file has {sorted(splits)}')
        return wanted


@ANNOTATIONS.register_module()
class MSRVTTTestCSV(AnnotationReader):
    """Read ``key, vid_key, video_id, sentence``: MSRVTT_JSFUSION_test.csv, the 1000 pairs of the test set 1kA.

    For the arguments see AnnotationReader; ``path_template`` has the placeholder ``video``.
    """

    modality = VIDEO.name
    path_template = '{video}.mp4'
    placeholders = dict(video='')
    alternatives = True

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        for line, row in iter_table(self.ann_file, ',', ('video_id', 'sentence')):
            place = f'line {line}'
            if not row['video_id']:
                raise self.error(place, 'video_id', 'the field is empty')
            texts = self.captions([row['sentence']], place, 'sentence')
            if texts:
                path = self.fill_template(video=row['video_id'])
                yield Record(id=row['video_id'], visual=self.path(path), text=texts)
