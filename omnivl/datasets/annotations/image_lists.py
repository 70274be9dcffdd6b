"""Image folders with lists of their splits: Food-101, DTD, Oxford-IIIT Pets."""

import os
from collections.abc import Iterator
from functools import cached_property

from omnivl.registry import ANNOTATIONS

from ..errors import AnnotationError
from .base import AnnotationReader, Record
from .files import iter_lines, require_file, unknown_label_message
from .imagenet import ImageNetFolder


@ANNOTATIONS.register_module()
class ClassImageList(ImageNetFolder):
    """Read lines ``class/image``, the class being the folder.

    ==========================================  ============  ==========
    file                                        ``suffix``    images
    ==========================================  ============  ==========
    Food-101: ``meta/train.txt, test.txt``      ``'.jpg'``    ``images``
    DTD: ``labels/train1.txt, val1.txt, ...``   ``''``        ``images``
    ==========================================  ============  ==========

    Args:
        ann_file: The list.
        visual_root: Folder of the class folders.
        suffix: What the names of the list lack.
        class_names_file: See ``ImageNetFolder``.
        classes_file: See ``ImageNetFolder``.
    """

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        suffix: str = '',
        class_names_file: str | None = None,
        classes_file: str | None = None,
    ) -> None:
        super().__init__(visual_root, None, class_names_file, classes_file)
        self.ann_file = os.fspath(ann_file)
        self.suffix = suffix

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        allowed = set(self.classes)
        for line, text in iter_lines(self.ann_file):
            name = text.strip()
            label, slash, image = name.partition('/')
            if not slash or not image:
                raise self.error(f'line {line}', None, f'expected "class/image", got {text!r}')
            if label not in allowed:
                raise self.error(f'line {line}', 'class', unknown_label_message(label, self.classes))
            yield Record(id=name, visual=self.path(name + self.suffix), label=label)


@ANNOTATIONS.register_module()
class OxfordPetsList(AnnotationReader):
    """Read Oxford-IIIT Pets: lines ``Abyssinian_100 1 1 1`` (image, breed, species, number within the species).

    Args:
        ann_file: ``annotations/trainval.txt`` or ``test.txt``.
        visual_root: The folder ``images``.
        classes_file: ``annotations/list.txt``, which has all images, and so all of the 37 breeds.
    """

    def __init__(self, ann_file: str, visual_root: str, classes_file: str) -> None:
        super().__init__(ann_file, visual_root)
        self.classes_file = classes_file

    @cached_property
    def classes(self) -> list[str]:
        """The breeds, in the order of their numbers."""
        require_file(self.classes_file, 'classes_file', 'OxfordPetsList')
        breeds: dict[int, str] = {}
        for place, image, number in self._rows(self.classes_file):
            if breeds.setdefault(number, _breed(image)) != _breed(image):
                message = f'breed {number} is {_breed(image)!r} here and {breeds[number]!r} before'
                raise AnnotationError(self.classes_file, place, 'breed', message)
        if sorted(breeds) != list(range(1, len(breeds) + 1)) or len(set(breeds.values())) < len(breeds):
            message = f'the breeds must be numbered from 1 and differ; found {dict(sorted(breeds.items()))}'
            raise AnnotationError(self.classes_file, None, 'breed', message)
        return [breeds[number] for number in sorted(breeds)]

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        for place, image, number in self._rows(self.ann_file):
            label = _breed(image)
            if number > len(self.classes) or self.classes[number - 1] != label:
                message = f'breed {number} is not {label!r} in {self.classes_file}, which has {len(self.classes)}'
                raise self.error(place, 'breed', message)
            yield Record(id=image, visual=self.path(f'{image}.jpg'), label=label)

    @staticmethod
    def _rows(path: str) -> Iterator[tuple[str, str, int]]:
        """Place, image and number of the breed of each line; comments are left out."""
        for line, text in iter_lines(path):
            if text.startswith('#'):
                continue
            fields = text.split()
            if len(fields) < 2 or not (fields[1].isascii() and fields[1].isdigit()) or '_' not in fields[0]:
                raise AnnotationError(path, f'line {line}', None, f'expected "Abyssinian_100 1 1 1", got {text!r}')
            yield f'line {line}', fields[0], int(fields[1])


def _breed(image: str) -> str:
    return image.rpartition('_')[0]
