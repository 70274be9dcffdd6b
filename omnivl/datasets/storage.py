"""A list of small rows that costs as little memory as its pickled bytes."""

import pickle
from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np


class CompactRows:
    """Immutable rows in one byte buffer and one array of offsets.

    Millions of Python objects cost several times their content, and a forked worker that only reads them copies them
    all the same, because reading changes their reference counts. Two buffers do neither.

    Args:
        rows: The rows, plain picklable values; consumed one by one, so a generator never is in memory as a whole.
    """

    def __init__(self, rows: Iterable[Any]) -> None:
        buffer = bytearray()
        offsets = array('q')
        for row in rows:
            offsets.append(len(buffer))
            buffer += pickle.dumps(row, protocol=pickle.HIGHEST_PROTOCOL)
        offsets.append(len(buffer))
        self._bytes = np.frombuffer(buffer, dtype=np.uint8)
        self._offsets = np.frombuffer(offsets, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> Any:
        start, end = self._offsets[index : index + 2]
        return pickle.loads(self._bytes[start:end].data)
