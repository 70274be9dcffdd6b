"""Visual Genome as published: region_descriptions.json and image_data.json."""

from collections.abc import Iterator

from omnivl.registry import ANNOTATIONS

from ..errors import AnnotationError
from .base import AnnotationReader, Record, shorten
from .files import iter_json_list, require_file

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
