"""Questions about videos: MSRVTT-QA and MSVD-QA, as VindLU, LAVIS, ALPRO, mPLUG-2 and their makers publish them."""

from collections.abc import Iterator

from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from .base import AnnotationReader, Record
from .files import iter_json_rows
from .msvd import read_video_names


@ANNOTATIONS.register_module()
class VideoQAList(AnnotationReader):
    """Read rows of ``{video, question, answer, question_id?, answer_type?}``, a JSON list or one JSON row per line.

    ======================================  =================  ====================================
    file                                    ``video_field``    ``path_template``
    ======================================  =================  ====================================
    ``msrvtt_qa_train.json`` (VindLU)       ``'video'``        ``'{video}'``
    ``qa_train.json`` (LAVIS)               ``'video'``        ``'{video}'``
    ``train.jsonl`` (ALPRO, mPLUG-2)        ``'video_id'``     ``'{video}.mp4'``, MSVD's ``.avi``
    ``train_qa.json`` (MSRVTT-QA's makers)  ``'video_id'``     ``'video{video}.mp4'``
    ``train_qa.json`` (MSVD-QA's makers)    ``'video_id'``     ``'{video}.avi'`` with ``names_file``
    ======================================  =================  ====================================

    The id of a question is ``question_id``, else ``id``, else its place in the file.

    Args:
        ann_file: The file; one row per line where its name ends in ``.jsonl``.
        visual_root: Folder that ``path_template`` is relative to.
        video_field: Field of the video, a str or an int.
        path_template: Where a video lies; placeholder ``video``.
        names_file: MSVD's ``youtube_mapping.txt``, lines of a YouTube name and ``vid<number>``: video number 7 then is
            the one whose line ends in ``vid7``. None = the field names the video itself.
    """

    modality = VIDEO.name
    placeholders = dict(video='')

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        video_field: str = VIDEO.name,
        path_template: str = '{video}',
        names_file: str | None = None,
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.video_field = video_field
        self.names_file = names_file

    def read(self) -> Iterator[Record]:
        """Yield the records, question after question."""
        names = None if self.names_file is None else read_video_names(self.names_file, 'VideoQAList')
        for row, item in iter_json_rows(self.ann_file):
            video = self.value(item, self.video_field, (str, int), row)
            if names is not None:
                if str(video).removeprefix('vid') not in names:
                    raise self.error(row, self.video_field, f'{self.names_file} has no line for video {video!r}')
                video = names[str(video).removeprefix('vid')]
            id_field = 'question_id' if 'question_id' in item else 'id'
            name = self.value(item, id_field, (int, str), row) if id_field in item else row
            answer_type = item.get('answer_type')
            yield Record(
                id=str(name),
                visual=self.path(self.fill_template(video=video)),
                question=self.value(item, 'question', str, row),
                answers=[self.value(item, 'answer', str, row)] if 'answer' in item else None,
                answer_type=None if answer_type is None else str(answer_type),
            )
