"""The layout of CIFAR's binary files, which the reader and the loader share."""

from __future__ import annotations

import os

import numpy as np

from omnivl.errors import OmniVLValueError

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


def open_records(path: str) -> np.ndarray:
    """Map a file into memory; nothing is read before it is used.

    Args:
        path: A file that is named as published.

    Returns:
        uint8 (records, bytes of a label + 3072), the pixels by channel, row and column.

    Raises:
        OmniVLValueError: The name is not one of CIFAR's, or its size is not that of whole records.
        OSError: It cannot be read.
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
