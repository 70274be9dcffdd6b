"""Captions in the official form of COCO, which NoCaps has taken over, and lists of images that are to be captioned."""

from collections.abc import Iterator
from typing import Any

from omnivl.registry import ANNOTATIONS
from omnivl.structures import IMAGE

from .base import AnnotationReader, Record, shorten
from .files import iter_json_list, read_json

DOMAINS = ('in', 'near', 'out')


@ANNOTATIONS.register_module()
class COCOCaptions(AnnotationReader):
    """Read ``{images: [{id, file_name, domain?}], annotations: [{image_id, caption}]}``; a record per image.

    ====================================  ==========================================================================
    file                                  what it is
    ====================================  ==========================================================================
    ``captions_val2014.json``             COCO, the official split; Karpathy's in this form is LAVIS'
                                          ``coco_karpathy_test_gt.json``, whose images have no ``file_name``
    ``nocaps_val_4500_captions.json``     NoCaps, ten captions per image and its ``domain``
    ``image_info_test2014.json``          COCO's test images, without captions: for the server
    ``nocaps_test_image_info.json``       NoCaps' test images, without captions: for the server
    ====================================  ==========================================================================

    The ids of records are the numbers that the servers know images by. For the arguments see AnnotationReader;
    ``path_template`` has the placeholders ``file_name`` and ``id``, the number of the image.
    """

    path_template = '{file_name}'
    placeholders = dict(file_name='', id=0)
    alternatives = True

    def read(self) -> Iterator[Record]:
        """Yield the records, image after image."""
        content = read_json(self.ann_file)
        images = content.get('images') if isinstance(content, dict) else None
        if not isinstance(images, list):
            raise self.error(
                None, 'images', "expected {'images': [...], 'annotations': [...]}; a list is read by BLIPCaptionJSON"
            )
        records = {}
        for row, image in enumerate(images):
            place = f'image {row}'
            number = self.value(image, 'id', int, place)
            if number in records:
                raise self.error(place, 'id', f'the number {number} is there twice')
            records[number] = self._record(place, number, image)
        captioned = content.get('annotations') is not None
        if captioned:
            self._add_captions(self.value(content, 'annotations', list, 'the file'), records)
        for number, record in records.items():
            if record.text or not captioned:
                yield record
            elif self.empty == 'raise':
                raise self.error(f'image {number}', None, "it has no caption; empty='drop' leaves such images out")

    def _record(self, place: str, number: int, image: dict[str, Any]) -> Record:
        # A template that does without the name must do where the file has none.
        file_name = self.value(image, 'file_name', str, place) if '{file_name' in self.path_template else ''
        path = self.fill_template(file_name=file_name, id=number)
        domain = None
        if image.get('domain') is not None:
            domain = self.value(image, 'domain', str, place).removesuffix('-domain')
            if domain not in DOMAINS:
                allowed = [f'{name}-domain' for name in DOMAINS]
                raise self.error(place, 'domain', f'expected one of {allowed}, got {shorten(image["domain"])}')
        return Record(id=str(number), visual=self.path(path), domain=domain)

    def _add_captions(self, annotations: list, records: dict[int, Record]) -> None:
        for row, annotation in enumerate(annotations):
            place = f'annotation {row}'
            number = self.value(annotation, 'image_id', int, place)
            if number not in records:
                raise self.error(place, 'image_id', f'there is no image {number} in the list of images')
            records[number].text += self.captions([annotation.get('caption')], place, 'caption')


@ANNOTATIONS.register_module()
class ImageListJSON(AnnotationReader):
    """Read ``[{image, img_id}]``: BLIP's ``nocaps_val.json`` and ``nocaps_test.json``, images without captions.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that the paths are relative to.
        visual_field: Field of the path.
        id_field: Field of the number that the server knows the image by.
    """

    def __init__(
        self, ann_file: str, visual_root: str, visual_field: str = IMAGE.name, id_field: str = 'img_id'
    ) -> None:
        super().__init__(ann_file, visual_root)
        self.visual_field = visual_field
        self.id_field = id_field

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        for row, item in iter_json_list(self.ann_file, "the official form ({'images': [...]}) is read by COCOCaptions"):
            number = self.value(item, self.id_field, (int, str), row)
            visual = self.path(self.value(item, self.visual_field, str, row))
            yield Record(id=str(number), visual=visual)
