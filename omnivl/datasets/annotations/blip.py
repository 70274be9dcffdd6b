"""Caption lists as BLIP, LAVIS and VindLU write them: coco_karpathy_train.json, vg_caption.json, cc3m_train.json."""

from collections.abc import Iterator

from typing_extensions import Unpack

from omnivl.registry import ANNOTATIONS
from omnivl.structures import IMAGE, VIDEO, check_modality

from .base import AnnotationReader, ReaderOptions, Record, named, shorten
from .files import iter_json_rows, read_json

_HINT = (
    "Karpathy's raw file ({'images': [...]}) is read by KarpathyJSON, MSR-VTT's ({'sentences': [...]}) by MSRVTTJSON, "
    "{'video0.mp4': [...]} by CaptionDictJSON; a file with one row per line must end in .jsonl"
)


@ANNOTATIONS.register_module()
class BLIPCaptionJSON(AnnotationReader):
    """Read ``[{image, caption: str | [str], image_id?}]``; COCO, Flickr30k, Visual Genome, CC3M, CC12M and SBU.

    One record per row: training lists have one row per caption, test lists one row per image with all its captions.
    Where one caption is true of several videos (``ssv2_ret_label_val_small.json``), the row lists them, and each is a
    record. The list is streamed; in a file whose name ends in ``.jsonl`` (ALPRO) each line is a row.

    ======================================  ================  ==================
    file                                    ``visual_field``  ``path_template``
    ======================================  ================  ==================
    ``coco_karpathy_train.json`` (BLIP)     ``'image'``       ``'{visual}'``
    ``msrvtt_ret_train9k.json`` (VindLU)    ``'video'``       ``'{visual}'``
    ``ssv2_ret_label_train.json`` (VindLU)  ``'video'``       ``'{visual}'``
    ``msrvtt_test.jsonl`` (ALPRO)           ``'clip_name'``   ``'{visual}.mp4'``
    ======================================  ================  ==================

    Args:
        ann_file: The JSON file.
        visual_root: Folder that the paths are relative to.
        visual_field: Field of the path; VindLU's video lists call it ``'video'``.
        caption_field: Field of the caption or captions.
        id_field: Field of the id; a row without it is named after its visual.
        modality: What the visuals are.
        **options: See AnnotationReader; ``path_template`` has the placeholders ``visual`` and ``stem``.
    """

    path_template = '{visual}'
    placeholders = named('')

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        visual_field: str = IMAGE.name,
        caption_field: str = 'caption',
        id_field: str = 'image_id',
        modality: str = IMAGE.name,
        **options: Unpack[ReaderOptions],
    ) -> None:
        super().__init__(ann_file, visual_root, **options)
        self.visual_field = visual_field
        self.caption_field = caption_field
        self.id_field = id_field
        self.modality = check_modality(modality, type(self).__name__)

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        for row, item in iter_json_rows(self.ann_file, _HINT):
            visuals = self._visuals(item, row)
            if self.caption_field not in item:
                raise self.error(row, self.caption_field, f'the field is missing; the row has {sorted(item)}')
            captions = item[self.caption_field]
            if not isinstance(captions, str | list):
                raise self.error(row, self.caption_field, f'expected str or list, got {shorten(captions)}')
            if captions == [] and self.empty == 'raise':
                raise self.error(row, self.caption_field, "there is no caption; empty='drop' leaves such rows out")
            texts = self.captions([captions] if isinstance(captions, str) else captions, row, self.caption_field)
            if not texts:
                continue
            name = self.value(item, self.id_field, (str, int), row) if self.id_field in item else None
            for number, visual in enumerate(visuals):
                # Records of one row must differ in id, and their lists of texts must not be one object.
                ident = visual if name is None else f'{name}#{number}' if len(visuals) > 1 else str(name)
                path = self.path(self.fill_template(**named(visual)))
                yield Record(id=ident, visual=path, text=list(texts))

    def _visuals(self, item: object, row: int | str) -> list[str]:
        visuals = self.value(item, self.visual_field, (str, list), row)
        visuals = [visuals] if isinstance(visuals, str) else visuals
        if not visuals or not all(isinstance(visual, str) and visual for visual in visuals):
            raise self.error(row, self.visual_field, f'expected a path or a list of paths, got {shorten(visuals)}')
        return visuals


@ANNOTATIONS.register_module()
class CaptionDictJSON(AnnotationReader):
    """Read ``{'video0.mp4': caption | [captions]}``, mmaction2's form of MSR-VTT and MSVD.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that ``path_template`` is relative to.
        modality: What the visuals are.
        **options: See AnnotationReader; ``path_template`` has the placeholders ``visual`` and ``stem``.
    """

    path_template = '{visual}'
    placeholders = named('')

    def __init__(
        self, ann_file: str, visual_root: str, modality: str = VIDEO.name, **options: Unpack[ReaderOptions]
    ) -> None:
        super().__init__(ann_file, visual_root, **options)
        self.modality = check_modality(modality, type(self).__name__)

    def read(self) -> Iterator[Record]:
        """Yield the records, in the order of the file."""
        content = read_json(self.ann_file)
        if not isinstance(content, dict):
            raise self.error(None, None, "expected {'video0.mp4': [captions]}; a list is read by BLIPCaptionJSON")
        for visual, captions in content.items():
            if not isinstance(captions, str | list):
                raise self.error(None, visual, f'expected a caption or a list of captions, got {shorten(captions)}')
            texts = self.captions([captions] if isinstance(captions, str) else captions, None, visual)
            if texts:
                path = self.path(self.fill_template(**named(visual)))
                yield Record(id=visual, visual=path, text=texts)
