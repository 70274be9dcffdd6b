"""Visual Genome as published: region_descriptions.json and image_data.json; and what of it is not COCO's."""

import os
import re
from collections.abc import Iterator, Sequence

from omnivl.registry import ANNOTATIONS
from omnivl.structures import IMAGE

from ..errors import AnnotationError
from .base import AnnotationReader, Record, shorten
from .files import iter_json_list, read_json, require_file

_HINT = 'expected the file as published'


@ANNOTATIONS.register_module()
class VisualGenome(AnnotationReader):
    """Read ``[{id, regions: [{phrase, region_id, image_id, ...}]}]``; one record per image, a caption per region.

    The images lie in two folders, VG_100K and VG_100K_2; which one is told by the address in ``image_data.json``.
    (BLIP's ``vg_caption.json`` is read by BLIPCaptionJSON.)

    Args:
        ann_file: ``region_descriptions.json``.
        visual_root: Folder that holds VG_100K and VG_100K_2.
        image_file: ``image_data.json``.
        empty: What to do with an empty caption, ``'raise'`` or ``'drop'``.
    """

    def __init__(self, ann_file: str, visual_root: str, image_file: str, empty: str = 'raise') -> None:
        super().__init__(ann_file, visual_root, empty)
        self.image_file = image_file

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        require_file(self.image_file, 'image_file', 'VisualGenome')
        paths = self._paths()
        for row, item in iter_json_list(self.ann_file, _HINT):
            image_id = self.value(item, 'id', int, row)
            if image_id not in paths:
                raise self.error(row, 'id', f'image {image_id} is not in {self.image_file}')
            texts: list[str] = []
            for number, region in enumerate(self.value(item, 'regions', list, row)):
                field = f'regions[{number}].phrase'
                if not isinstance(region, dict) or 'phrase' not in region:
                    raise self.error(row, field, 'the field is missing')
                texts += self.captions([region['phrase']], row, field)
            if texts:
                yield Record(id=str(image_id), visual=self.path(paths[image_id]), text=texts)

    def _paths(self) -> dict[int, str]:
        """Folder and file name of each image: the last two parts of its address."""
        paths = {}
        for row, item in iter_json_list(self.image_file, _HINT):
            if not isinstance(item, dict) or not isinstance(item.get('image_id'), int):
                raise AnnotationError(self.image_file, row, 'image_id', 'expected a whole number')
            if not isinstance(item.get('url'), str) or item['url'].count('/') < 2:
                raise AnnotationError(
                    self.image_file, row, 'url', f'expected an address, got {shorten(item.get("url"))}'
                )
            paths[item['image_id']] = '/'.join(item['url'].split('/')[-2:])
        return paths


@ANNOTATIONS.register_module()
class WithoutCOCO(AnnotationReader):
    """Read Visual Genome with another reader, and leave out the pictures that some lists of COCO have.

    51k of its 108k pictures are COCO's, under other names and compressed anew, 5k of them in Karpathy's val and test.
    ``image_data.json`` says which: its ``coco_id`` is the number at the end of COCO's file names.

    Args:
        annotations: Config of the reader, whose pictures are named by their ids, such as ``2366000.jpg``.
        image_file: ``image_data.json``.
        coco_files: Lists of COCO: BLIP's (``coco_karpathy_test.json``), all of it, or Karpathy's
            ``dataset_coco.json``, of which val and test are meant.
    """

    def __init__(self, annotations: dict | AnnotationReader, image_file: str, coco_files: Sequence[str]) -> None:
        reader = ANNOTATIONS.build(annotations) if isinstance(annotations, dict) else annotations
        super().__init__(reader.ann_file, reader.visual_root, reader.empty)
        self.reader = reader
        self.modality = reader.modality
        self.image_file = image_file
        self.coco_files = list(coco_files)

    def read(self) -> Iterator[Record]:
        """Yield the records of the reader, without COCO's."""
        for option, path in (('image_file', self.image_file), *(('coco_files', path) for path in self.coco_files)):
            require_file(path, option, 'WithoutCOCO')
        held_out = set().union(*map(_coco_ids, self.coco_files))
        known: dict[int, bool] = {}
        for row, item in iter_json_list(self.image_file, _HINT):
            if not isinstance(item, dict) or not isinstance(item.get('image_id'), int) or 'coco_id' not in item:
                raise AnnotationError(self.image_file, row, 'coco_id', f'expected it and image_id, got {shorten(item)}')
            known[item['image_id']] = item['coco_id'] in held_out
        for record in self.reader.read():
            name = os.path.splitext(os.path.basename(record.visual))[0]
            if not name.isdecimal() or int(name) not in known:
                raise self.error(record.id, None, f'{record.visual} is no picture of {self.image_file}')
            if not known[int(name)]:
                yield record
        self.dropped = self.reader.dropped


def _coco_ids(path: str) -> set[int]:
    """Return the numbers of COCO's pictures in a list."""
    content = read_json(path)
    if isinstance(content, dict):
        return {image['cocoid'] for image in content.get('images', ()) if image.get('split') in ('val', 'test')}
    found = set()
    for row, item in enumerate(content if isinstance(content, list) else ()):
        number = re.search(r'(\d{12})\.\w+$', str(item.get(IMAGE.name) if isinstance(item, dict) else item))
        if number is None:
            raise AnnotationError(path, row, IMAGE.name, f"expected COCO's name of a picture, got {shorten(item)}")
        found.add(int(number[1]))
    return found
