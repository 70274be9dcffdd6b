"""DiDeMo's descriptions of moments, and paragraphs out of the captions of a video."""

import os
from collections.abc import Iterator
from pathlib import Path

from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from .base import AnnotationReader, ReaderOptions, Record
from .files import iter_json_list

# How the published files of sets are called whose captions each tell the whole video; VindLU's lists look all alike.
_SETS_OF_ALTERNATIVES = ('msrvtt', 'msr_vtt', 'msr-vtt', 'msvd', 'vatex', 'coco', 'flickr')


@ANNOTATIONS.register_module()
class DiDeMoJSON(AnnotationReader):
    """Read ``[{video, description, times, annotation_id}]``: train_data.json, val_data.json, test_data.json.

    One record per description. For retrieval the descriptions of a video are joined by ParagraphCaptions. The lists
    of VindLU (``didemo_ret_train.json``, ``{video, caption: [...]}``) are read by BLIPCaptionJSON, and joined alike.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that ``path_template`` is relative to.
        seconds: How much of a video was shown to those who described it: its first 30 seconds. None = all of it, for
            videos that were cut.
        **options: See AnnotationReader; ``path_template`` has the placeholders ``video``, as the file has it, and
            ``stem``, without its suffix, for videos that were converted: ``'{stem}.mp4'``.
    """

    modality = VIDEO.name
    path_template = '{video}'
    placeholders = dict(video='', stem='')

    def __init__(
        self, ann_file: str, visual_root: str, seconds: float | None = 30.0, **options: Unpack[ReaderOptions]
    ) -> None:
        super().__init__(ann_file, visual_root, **options)
        if seconds is not None and seconds <= 0:
            raise OmniVLValueError(f'DiDeMoJSON: seconds={seconds}; it must be above 0, or None for whole videos')
        self.seconds = seconds

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        clip = None if self.seconds is None else (0.0, float(self.seconds))
        for row, item in iter_json_list(self.ann_file, "VindLU's lists are read by BLIPCaptionJSON"):
            video = self.value(item, VIDEO.name, str, row)  # the field of a video is called so
            texts = self.captions([item.get('description')], row, 'description')
            if texts:
                path = self.path(self.fill_template(video=video, stem=os.path.splitext(video)[0]))
                yield Record(id=video, visual=path, text=texts, clip=clip)


@ANNOTATIONS.register_module()
class ParagraphCaptions(AnnotationReader):
    """Join all captions of a video, in the order of the file, to one: paragraph retrieval on DiDeMo.

    Only where the captions are sentences about one part of the video after the other. Sets whose captions each tell all
    of it (MSR-VTT, MSVD, COCO) are refused: their paragraph would give away the answer several times over.

    Args:
        annotations: Config of the annotation reader of the captions, or a reader.
    """

    def __init__(self, annotations: dict | AnnotationReader) -> None:
        reader = ANNOTATIONS.build(annotations) if isinstance(annotations, dict) else annotations
        super().__init__(reader.ann_file, reader.visual_root, reader.empty)
        name = Path(reader.ann_file or '').name
        if reader.alternatives or any(part in name.lower() for part in _SETS_OF_ALTERNATIVES):
            raise OmniVLValueError(
                f'ParagraphCaptions: the captions of {name!r} ({type(reader).__name__}) each tell the whole visual and '
                f'make no paragraph; take the reader without ParagraphCaptions'
            )
        self.reader = reader
        self.modality = reader.modality

    def read(self) -> Iterator[Record]:
        """Yield a record per video, in the order of the first captions."""
        joined: dict[tuple, Record] = {}
        for record in self.reader:
            first = joined.setdefault((record.visual, record.clip), record)
            if first is not record:
                first.text += record.text
        self.dropped = self.reader.dropped
        for record in joined.values():
            record.text = [' '.join(record.text)]
            yield record
