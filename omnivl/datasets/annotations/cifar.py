"""CIFAR-10 and CIFAR-100 in their binary version; ``LoadCIFAR`` asks here for the layout of the files."""

import os
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS

from ..errors import AnnotationError
from .base import AnnotationReader, Record
from .files import read_class_list, require_file

SIDE = 32
PIXELS = 3 * SIDE * SIDE
# Bytes before the pixels of a record: the class, or in CIFAR-100 the coarse and the fine class.
LABEL_BYTES = {10: 1, 100: 2}
FILES = {
    (10, 'train'): tuple(f'data_batch_{number}.bin' for number in range(1, 6)),
    (10, 'test'): ('test_batch.bin',),
    (100, 'train'): ('train.bin',),
    (100, 'test'): ('test.bin',),
}
CLASSES_FILES = {10: 'batches.meta.txt', 100: 'fine_label_names.txt'}


@ANNOTATIONS.register_module()
class CIFARBinary(AnnotationReader):
    """Read ``cifar-10-batches-bin`` and ``cifar-100-binary``, as https://www.cs.toronto.edu/~kriz/cifar.html has them.

    The binary version, since the other is of Python's pickles, which may run code. All pictures of a file are in it, so
    ``visual`` is ``<file>#<number>``, which ``LoadCIFAR`` loads.

    Args:
        visual_root: The unpacked folder.
        split: ``'train'`` or ``'test'``.
        num_classes: 10 or 100, whose classes are the fine ones.
    """

    def __init__(self, visual_root: str, split: str, num_classes: int = 10) -> None:
        super().__init__('', visual_root)
        if (num_classes, split) not in FILES:
            raise OmniVLValueError(
                f'CIFARBinary: num_classes={num_classes}, split={split!r}; allowed are {sorted(FILES)}'
            )
        self.split = split
        self.num_classes = num_classes

    @cached_property
    def classes(self) -> list[str]:
        """The classes, in the order of the file of their names."""
        path = self._file(CLASSES_FILES[self.num_classes])
        classes = read_class_list(path)
        if len(classes) != self.num_classes:
            raise AnnotationError(path, None, 'class', f'{len(classes)} names for {self.num_classes} classes')
        return classes

    def read(self) -> Iterator[Record]:
        """Yield the records, file after file."""
        for name in FILES[self.num_classes, self.split]:
            path = self._file(name)
            try:
                records = open_records(path)
            except ValueError as error:
                raise AnnotationError(path, None, None, str(error)) from error
            # The last byte of the label is the fine class, which in CIFAR-100 follows the coarse one.
            for number, label in enumerate(records[:, LABEL_BYTES[self.num_classes] - 1].tolist()):
                if label >= self.num_classes:
                    raise AnnotationError(
                        path, f'record {number}', 'label', f'{label}, but there are {self.num_classes} classes'
                    )
                visual = f'{path}#{number}'
                yield Record(id=f'{name}#{number}', visual=visual, label=self.classes[label])

    def _file(self, name: str) -> str:
        path = self.path(name)
        if not os.path.isfile(path) and any(os.path.isfile(self.path(other)) for other in ('batches.meta', 'meta')):
            message = f'holds the Python version of CIFAR-{self.num_classes}; take the binary version'
            raise AnnotationError(self.visual_root, None, None, message)
        require_file(path, 'visual_root', 'CIFARBinary')
        return path


def open_records(path: str) -> np.ndarray:
    """Map a file that is named as published into memory; nothing is read before it is used.

    Returns uint8 (records, bytes of a label + 3072), the pixels by channel, row and column. A name that is none of
    CIFAR's and a size that is not that of whole records are errors.
    """
    name = os.path.basename(path)
    counts = [count for (count, _), files in FILES.items() if name in files]
    if not counts:
        raise OmniVLValueError(f'{name!r} is no binary file of CIFAR: {sorted(sum(FILES.values(), ()))}')
    width = LABEL_BYTES[counts[0]] + PIXELS
    size = os.path.getsize(path)
    if not size or size % width:
        raise OmniVLValueError(
            f'{size} bytes are no whole number of records of {width} bytes; is the download complete?'
        )
    return np.memmap(path, dtype=np.uint8, mode='r', shape=(size // width, width))
