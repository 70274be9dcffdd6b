"""MSVD's file of descriptions, and the table of its videos' names."""

from collections.abc import Iterator

from typing_extensions import Unpack

from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from ..errors import AnnotationError
from .base import AnnotationReader, ReaderOptions, Record
from .files import iter_lines, require_file


@ANNOTATIONS.register_module()
class MSVDText(AnnotationReader):
    """Read lines of a video's name and one description of it: AllVideoDescriptions.txt.

    One record per video, with all its captions (41 on average). Lines that begin with ``#`` are comments. Lists are
    read by BLIPCaptionJSON (VindLU) and CaptionDictJSON (mmaction2).

    Args:
        ann_file: The file of descriptions.
        visual_root: Folder that ``path_template`` is relative to.
        videos_file: The videos of a split, one name per line: ``train_list.txt`` (1200), ``val_list.txt`` (100),
            ``test_list.txt`` (670). None = all videos.
        names_file: ``youtube_mapping.txt``, for lists that name the videos ``vid7``; see :func:`read_video_names`.
        **options: See AnnotationReader; ``path_template`` has the placeholder ``video``.
    """

    modality = VIDEO.name
    path_template = '{video}.avi'
    placeholders = dict(video='')
    alternatives = True

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        videos_file: str | None = None,
        names_file: str | None = None,
        **options: Unpack[ReaderOptions],
    ) -> None:
        super().__init__(ann_file, visual_root, **options)
        self.videos_file = videos_file
        self.names_file = names_file

    def read(self) -> Iterator[Record]:
        """Yield the records, in the order of ``videos_file`` or of the first descriptions."""
        wanted = self._wanted()
        captions: dict[str, list[str]] = {video: [] for video in wanted or ()}
        known: set[str] = set()
        for line, text in iter_lines(self.ann_file):
            if text.startswith('#'):
                continue
            video, _, caption = text.partition(' ')
            known.add(video)
            if wanted is None or video in wanted:
                captions.setdefault(video, []).extend(self.captions([caption], f'line {line}', None))
        for video, texts in captions.items():
            if wanted is not None and video not in known:
                raise self.error(None, None, f'no description of {video!r}, which {wanted[video]} names')
            if texts:
                path = self.fill_template(video=video)
                yield Record(id=video, visual=self.path(path), text=texts)

    def _wanted(self) -> dict[str, str] | None:
        """Video -> where it is named; None for all."""
        if self.videos_file is None:
            return None
        require_file(self.videos_file, 'videos_file', 'MSVDText')
        names = None if self.names_file is None else read_video_names(self.names_file, 'MSVDText')
        wanted = {}
        for line, text in iter_lines(self.videos_file):
            video = text.strip()
            if names is not None:
                if video.removeprefix('vid') not in names:
                    raise AnnotationError(
                        self.videos_file, f'line {line}', None, f'{self.names_file} has no line for video {video!r}'
                    )
                video = names[video.removeprefix('vid')]
            wanted[video] = f'{self.videos_file}, line {line},'
        return wanted


def read_video_names(path: str, owner: str) -> dict[str, str]:
    """Read MSVD's ``youtube_mapping.txt``, lines of a YouTube name and ``vid<number>``.

    Returns number -> name: video number 7 is the one whose line ends in ``vid7``.
    """
    require_file(path, 'names_file', owner)
    names = {}
    for line, text in iter_lines(path):
        fields = text.split()
        if len(fields) != 2 or not fields[1].startswith('vid'):
            raise AnnotationError(path, f'line {line}', None, f"expected 'NAME vid7', got {text!r}")
        names[fields[1].removeprefix('vid')] = fields[0]
    return names
