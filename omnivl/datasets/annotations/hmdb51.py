"""HMDB51 in its official split files."""

import os
from collections.abc import Iterator
from functools import cached_property

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from ..errors import AnnotationError
from .base import AnnotationReader, Record
from .files import iter_lines, require_folder

# The number behind each file: 1 is for training, 2 for testing, 0 in neither part of the split.
PARTS = {'train': '1', 'test': '2'}


@ANNOTATIONS.register_module()
class HMDB51Splits(AnnotationReader):
    """Read a folder of ``<class>_test_split<number>.txt`` with lines ``video.avi 0|1|2`` (testTrainMulti_7030_splits).

    mmaction2's lists (``hmdb51_train_split_1_videos.txt``) are read by ``MMActionList``.

    Args:
        splits_root: The folder.
        visual_root: Folder of the class folders.
        part: ``'train'`` (70 videos of each class) or ``'test'`` (30).
        split: Which of the three splits: 1, 2 or 3.
    """

    modality = VIDEO.name

    def __init__(self, splits_root: str, visual_root: str, part: str, split: int = 1) -> None:
        super().__init__('', visual_root)
        if part not in PARTS:
            raise OmniVLValueError(f'HMDB51Splits: part={part!r}; allowed are {sorted(PARTS)}')
        if split not in (1, 2, 3):
            raise OmniVLValueError(f'HMDB51Splits: split={split!r}; allowed are 1, 2 and 3')
        self.splits_root = splits_root
        self.part = part
        self.split = split

    @property
    def _suffix(self) -> str:
        return f'_test_split{self.split}.txt'

    @cached_property
    def classes(self) -> list[str]:
        """The classes that have a file, in alphabetic order."""
        require_folder(self.splits_root, 'splits_root', 'HMDB51Splits')
        names = [name for name in os.listdir(self.splits_root) if name.endswith(self._suffix)]
        if not names:
            raise AnnotationError(self.splits_root, None, None, f'has no files <class>{self._suffix}')
        return sorted(name.removesuffix(self._suffix) for name in names)

    def read(self) -> Iterator[Record]:
        """Yield the records, class after class."""
        for label in self.classes:
            file = os.path.join(self.splits_root, label + self._suffix)
            for line, text in iter_lines(file):
                # From the right: a name may hold spaces, the number does not.
                video, _, part = text.strip().rpartition(' ')
                if not video or part not in ('0', *PARTS.values()):
                    raise AnnotationError(file, f'line {line}', None, f'expected "video.avi 0, 1 or 2", got {text!r}')
                if part == PARTS[self.part]:
                    relative = f'{label}/{video.strip()}'
                    stem = os.path.splitext(relative)[0]
                    yield Record(id=stem, visual=self.path(relative), label=label)
