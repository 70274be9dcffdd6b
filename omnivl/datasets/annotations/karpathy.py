"""Karpathy's raw caption files: dataset_coco.json, dataset_flickr30k.json."""

import os
from collections.abc import Iterator

from omnivl.registry import ANNOTATIONS

from .base import AnnotationReader, Record
from .files import read_json


@ANNOTATIONS.register_module()
class KarpathyJSON(AnnotationReader):
    """Read ``{images: [{filepath, filename, split, sentences: [{raw}], cocoid | imgid}]}``.

    ``filepath`` is missing in the Flickr file. One record per image, with all its captions.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that ``filepath/filename`` is relative to.
        split: ``'train'`` means train and restval, as everybody uses this split; any other name is taken as it stands.
            None = all images.
        empty: What to do with an empty caption, ``'raise'`` or ``'drop'``.
    """

    alternatives = True

    def __init__(self, ann_file: str, visual_root: str, split: str | None = None, empty: str = 'raise') -> None:
        super().__init__(ann_file, visual_root, empty)
        self.split = split

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        images = read_json(self.ann_file)
        images = images.get('images') if isinstance(images, dict) else None
        if not isinstance(images, list):
            raise self.error(
                None, 'images', "expected {'images': [...]}; a list of captions is read by BLIPCaptionJSON"
            )
        wanted = ('train', 'restval') if self.split == 'train' else (self.split,)
        splits: set[str] = set()
        found = False
        for row, image in enumerate(images):
            split = self.value(image, 'split', str, row)
            splits.add(split)
            if self.split is not None and split not in wanted:
                continue
            found = True
            record = self._record(row, image)
            if record.text:
                yield record
        if not found:
            raise self.error(None, 'split', f'no image has split {self.split!r}; the file has {sorted(splits)}')

    def _record(self, row: int, image: dict) -> Record:
        filename = self.value(image, 'filename', str, row)
        sentences = self.value(image, 'sentences', list, row)
        texts: list[str] = []
        for number, sentence in enumerate(sentences):
            if not isinstance(sentence, dict) or 'raw' not in sentence:
                raise self.error(row, f'sentences[{number}].raw', 'the field is missing')
            texts += self.captions([sentence['raw']], row, f'sentences[{number}].raw')
        folder = self.value(image, 'filepath', str, row) if image.get('filepath') else ''
        key = next((name for name in ('cocoid', 'imgid') if name in image), 'filename')
        return Record(
            id=str(self.value(image, key, (int, str), row)),
            visual=self.path(os.path.join(folder, filename)),
            text=texts,
        )
