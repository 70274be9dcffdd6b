"""Caption lists as BLIP, LAVIS and VindLU write them: coco_karpathy_train.json, vg_caption.json, cc3m_train.json."""

from __future__ import annotations

from collections.abc import Iterator

from omnivl.registry import ANNOTATIONS

from .base import AnnotationReader, Record, check_modality, shorten
from .files import iter_json_list

_HINT = "Karpathy's raw file ({'images': [...]}) is read by KarpathyJSON"


@ANNOTATIONS.register_module()
class BLIPCaptionJSON(AnnotationReader):
    """Reads ``[{image, caption: str | [str], image_id?}]``; COCO, Flickr30k, Visual Genome, CC3M, CC12M and SBU.

    One record per row: training lists have one row per caption, test lists one row per image with all its captions.
    The list is streamed.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that the paths are relative to.
        visual_field: Field of the path; VindLU's video lists call it ``'video'``.
        caption_field: Field of the caption or captions.
        id_field: Field of the id; a row without it is named after its visual.
        modality: ``'image'`` or ``'video'``.
        empty: What to do with an empty caption, ``'raise'`` or ``'drop'``.
    """

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        visual_field: str = 'image',
        caption_field: str = 'caption',
        id_field: str = 'image_id',
        modality: str = 'image',
        empty: str = 'raise',
    ) -> None:
        super().__init__(ann_file, visual_root, empty)
        self.visual_field = visual_field
        self.caption_field = caption_field
        self.id_field = id_field
        self.modality = check_modality(modality, type(self).__name__)

    def read(self) -> Iterator[Record]:
        """Yields the records, row after row."""
        for row, item in iter_json_list(self.ann_file, _HINT):
            visual = self.value(item, self.visual_field, str, row)
            if self.caption_field not in item:
                raise self.error(row, self.caption_field, f'the field is missing; the row has {sorted(item)}')
            captions = item[self.caption_field]
            if not isinstance(captions, str | list):
                raise self.error(row, self.caption_field, f'expected str or list, got {shorten(captions)}')
            texts = self.captions([captions] if isinstance(captions, str) else captions, row, self.caption_field)
            if not texts:
                continue
            name = self.value(item, self.id_field, (str, int), row) if self.id_field in item else visual
            yield Record(id=str(name), visual=self.path(visual), modality=self.modality, text=texts)
