"""A list of small rows that costs as little memory as its pickled bytes, or none where it is mapped."""

import io
import os
import pickle
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from omnivl.storage.arrays import Strings, map_arrays, write_arrays


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values only: a file of a cache must not be able to run anything."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f'a row holds a {module}.{name}; rows are made of plain values')


class CompactRows:
    """Immutable rows in one byte buffer and one array of offsets.

    Millions of Python objects cost several times their content, and a forked worker that only reads them copies them
    all the same, because reading changes their reference counts. Two buffers do neither.

    Args:
        rows: The rows, plain values; consumed one by one, so a generator never is in memory as a whole.
        group_of: Names the group of a row, such as its shard; None = all are one.
        file: An empty file, open for reading and writing, that the bytes go to; None = they stay in memory.

    Attributes:
        group_ends: Where each row of equal groups ends; int64 (G,).
    """

    def __init__(
        self, rows: Iterable[Any], group_of: Callable[[Any], str] | None = None, file: BinaryIO | None = None
    ) -> None:
        ends = array('q')
        self._strings = Strings.of(_pickled(rows, group_of, ends), file)
        self.group_ends = np.frombuffer(ends, np.int64)
        self._path: str | None = None

    @classmethod
    def map(cls, path: str | os.PathLike) -> tuple['CompactRows', dict[str, Any]]:
        """Map rows that ``save`` has written, and return them with the facts beside them."""
        arrays = map_arrays(path)
        rows = cls.__new__(cls)
        rows._strings = Strings(arrays['rows'], arrays['rows_ends'])
        rows.group_ends = arrays['group_ends']
        rows._path = os.fspath(path)
        return rows, {name: int(arrays[name]) for name in arrays.keys() - {'rows', 'rows_ends', 'group_ends'}}

    def save(self, path: str | os.PathLike, facts: Mapping[str, int]) -> None:
        """Write the rows, and some numbers beside them, for ``map``."""
        numbers = {name: np.array(value) for name, value in facts.items()}
        content, ends = self._strings.content, self._strings.ends
        write_arrays(path, dict(rows=content, rows_ends=ends, group_ends=self.group_ends, **numbers))

    def __reduce__(self) -> str | tuple[Any, ...]:
        # A worker that is not forked maps the file itself: the mapped bytes would be sent to it as a copy.
        return super().__reduce__() if self._path is None else (_mapped, (self._path,))

    def __len__(self) -> int:
        return len(self._strings)

    def __getitem__(self, index: int) -> Any:
        return _PlainUnpickler(io.BytesIO(self._strings[index])).load()


def _mapped(path: str) -> CompactRows:
    return CompactRows.map(path)[0]


def _pickled(rows: Iterable[Any], group_of: Callable[[Any], str] | None, ends: array) -> Iterator[bytes]:
    group, number = None, 0
    for number, row in enumerate(rows, 1):
        if group_of is not None and (new := group_of(row)) != group:
            if number > 1:
                ends.append(number - 1)
            group = new
        yield pickle.dumps(row, protocol=pickle.HIGHEST_PROTOCOL)
    if number:
        ends.append(number)
