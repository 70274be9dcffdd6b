"""Named arrays in one file that is mapped into memory: all processes of a machine share one copy, read when needed."""

import os
import struct
import zipfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from omnivl.errors import OmniVLValueError

from .files import atomic_write

CHUNK = 1 << 24
_LOCAL_HEADER = struct.Struct('<26xHH')  # of a file inside a zip: the lengths of its name and of its extra field


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an uncompressed ``.npz``, which ``numpy.load`` reads too, whole or not at all."""
    with atomic_write(path, sum(array.nbytes for array in arrays.values())) as file:
        np.savez(file, **dict[str, Any](arrays))


def map_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Map the arrays of a file that ``write_arrays`` has written, read-only; any other file is an OmniVLValueError."""
    try:
        with open(path, 'rb') as file, zipfile.ZipFile(file) as archive:
            return {entry.filename.removesuffix('.npy'): _map(file, entry) for entry in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, struct.error) as error:
        raise OmniVLValueError(f'{path} is no whole file of arrays ({error}): make it anew') from error


def _map(file: BinaryIO, entry: zipfile.ZipInfo) -> np.ndarray:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise OmniVLValueError(f'{entry.filename} is compressed')
    file.seek(entry.header_offset)
    begin = entry.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size)))
    file.seek(begin)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    start = file.tell()
    if dtype.hasobject or start + dtype.itemsize * int(np.prod(shape)) > begin + entry.file_size:
        raise OmniVLValueError(f'{entry.filename} is cut short, or holds objects')
    if 0 in shape:  # there is nothing to map
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, mode='r', offset=start, shape=shape)


class Strings:
    """Byte strings one after the other in one array, with the end of each in a second one.

    Args:
        content: All of them; uint8 (sum of lengths,).
        ends: Where each ends; int64 (N,).
    """

    def __init__(self, content: np.ndarray, ends: np.ndarray) -> None:
        self.content = content
        self.ends = ends

    @classmethod
    def of(cls, strings: Iterable[bytes], file: BinaryIO | None = None) -> 'Strings':
        """Put strings together, one by one; in memory, or at the end of a file that is open for reading and writing."""
        ends, buffer, length, start = array('q'), bytearray(), 0, 0 if file is None else file.tell()
        for string in strings:
            length += len(string)
            ends.append(length)
            buffer += string
            if file is not None and len(buffer) >= CHUNK:
                file.write(buffer)
                buffer.clear()
        if file is None:
            return cls(np.frombuffer(buffer, np.uint8), np.frombuffer(ends, np.int64))
        file.write(buffer)
        return cls(_content(file, start, length), np.frombuffer(ends, np.int64))

    @classmethod
    def joined(cls, parts: Sequence['Strings'], file: BinaryIO) -> 'Strings':
        """Put columns one after the other, at the end of a file that is open for reading and writing."""
        start, lengths = file.tell(), [len(part.content) for part in parts]
        for part in parts:
            file.write(part.content.data)
        begins = np.cumsum([0, *lengths[:-1]])
        ends = [part.ends + begin for part, begin in zip(parts, begins)]
        return cls(_content(file, start, sum(lengths)), np.concatenate(ends))

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[memoryview]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> memoryview:
        return self.content[self.ends[index - 1] if index else 0 : self.ends[index]].data


def _content(file: BinaryIO, start: int, length: int) -> np.ndarray:
    file.flush()
    return np.memmap(file, np.uint8, mode='r', offset=start, shape=(length,)) if length else np.empty(0, np.uint8)
