"""UCF101 in its official split files."""

import os
import re
from collections.abc import Iterator
from functools import cached_property

from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from ..errors import AnnotationError
from .base import AnnotationReader, Record
from .files import iter_lines, require_file, unknown_label_message


@ANNOTATIONS.register_module()
class UCF101List(AnnotationReader):
    """Read ``trainlist01.txt`` (lines ``Class/v_x.avi 1``) and ``testlist01.txt`` (the same without the number).

    The class is the folder; where a line has the number of the class too, the two must agree. mmaction2's lists
    (``ucf101_train_split_1_videos.txt``), which count classes from 0, are read by ``MMActionList``.

    Args:
        ann_file: The list.
        visual_root: Folder of the class folders.
        classes_file: ``classInd.txt``, lines ``1 ApplyEyeMakeup``.
    """

    modality = VIDEO.name

    def __init__(self, ann_file: str, visual_root: str, classes_file: str) -> None:
        super().__init__(ann_file, visual_root)
        self.classes_file = classes_file

    @cached_property
    def classes(self) -> list[str]:
        """The class folders, in the order of their numbers."""
        require_file(self.classes_file, 'classes_file', 'UCF101List')
        found: list[str] = []
        for line, text in iter_lines(self.classes_file):
            number, _, name = text.strip().partition(' ')
            if number != str(len(found) + 1) or not name or name in found:
                raise AnnotationError(
                    self.classes_file, f'line {line}', None, f'expected "{len(found) + 1} Class", got {text!r}'
                )
            found.append(name)
        if not found:
            raise AnnotationError(self.classes_file, None, None, 'the file is empty; expected lines "1 Class"')
        return found

    @cached_property
    def class_names(self) -> list[str]:
        """The classes in words: 'apply eye makeup'."""
        return [re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', label).lower() for label in self.classes]

    def read(self) -> Iterator[Record]:
        """Yield the records, video after video."""
        numbers = {label: number for number, label in enumerate(self.classes, 1)}
        for line, text in iter_lines(self.ann_file):
            place = f'line {line}'
            relative, _, number = text.strip().partition(' ')
            label, _, name = relative.partition('/')
            if not name:
                raise self.error(place, None, f'expected "Class/video.avi", with or without a number, got {text!r}')
            if label not in numbers:
                raise self.error(place, 'class', unknown_label_message(label, self.classes))
            if number and number.strip() != str(numbers[label]):
                raise self.error(
                    place,
                    'class',
                    f'{label} has number {numbers[label]} in {self.classes_file}, here {number.strip()!r}; lists that '
                    'count from 0 are read by MMActionList',
                )
            stem = os.path.splitext(relative)[0]
            yield Record(id=stem, visual=self.path(relative), label=label)
