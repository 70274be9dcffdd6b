"""Reading TensorFlow's checkpoints without TensorFlow: an index, which is a sorted table of LevelDB's, and flat data.

The index (``NAME.index``) maps names to descriptions in the wire format of protocol buffers: type, shape, and where the
values lie in ``NAME.data-00000-of-00001``. It is never compressed.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two places in the file, padding, the magic number
TYPES = {1: np.dtype('<f4'), 2: np.dtype('<f8'), 19: np.dtype('<f2')}  # of tensorflow/core/framework/types.proto
BYTES = 2  # the wire type of what has a length
CRC32C = list(range(256))  # for a byte at a time, of the polynomial 0x1EDC6F41 from its other end
for _ in range(8):
    CRC32C = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in CRC32C]


def read_floats(path: Path) -> dict[str, np.ndarray]:
    """Read all variables of floating point numbers of a checkpoint.

    Args:
        path: Its ``.index`` file; the data lie beside it.

    Returns:
        Name -> values, on disk until they are looked at.

    Raises:
        OmniVLFileNotFoundError: One of the files is not there.
        OmniVLValueError: It is no such index, or the data are shorter than it says.
    """
    if not path.is_file():
        raise OmniVLFileNotFoundError(f'no file {path}')
    content = path.read_bytes()
    if len(content) < FOOTER or struct.unpack('<Q', content[-8:])[0] != MAGIC:
        raise OmniVLValueError(f'{path} is no index of a TensorFlow checkpoint, or was cut short')
    try:
        entries = dict(read_table(content))
        shards = dict(fields(entries.pop('', b''))).get(1, 1)
        described = {name: describe(value) for name, value in entries.items()}
    except (IndexError, KeyError, TypeError, UnicodeDecodeError, struct.error) as error:
        raise OmniVLValueError(f'{path} is a damaged index of a TensorFlow checkpoint ({error})') from error
    files = [path.with_name(f'{path.stem}.data-{number:05d}-of-{shards:05d}') for number in range(shards)]
    if missing := next((file for file in files if not file.is_file()), None):
        raise OmniVLFileNotFoundError(f'{path} needs {missing.name} beside it')
    data = [np.memmap(file, np.uint8, 'r') for file in files]
    found = {}
    for name, (kind, shape, shard, first, size) in described.items():
        if kind not in TYPES:
            continue
        if first + size > len(data[shard]) or size != TYPES[kind].itemsize * int(np.prod(shape)):
            raise OmniVLValueError(f'{files[shard]} does not hold {name} as {path.name} says: it was cut short')
        found[name] = data[shard][first : first + size].view(TYPES[kind]).reshape(shape)
    return found


def read_table(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of all entries of a table."""
    place, places = len(content) - FOOTER, []
    for _ in range(4):  # first byte and size of a block about the table, and of that which lists the others
        value, place = varint(content, place)
        places.append(value)
    for _, handle in read_block(content, *places[2:]):
        first, after = varint(handle, 0)
        yield from ((key.decode(), value) for key, value in read_block(content, first, varint(handle, after)[0]))


def read_block(content: bytes, first: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a block, whose keys say how much of the one before they begin with."""
    block, kept = content[first : first + size], content[first + size : first + size + 5]
    if len(kept) < 5 or struct.unpack('<I', kept[1:])[0] != masked_crc32c(block + kept[:1]):
        raise IndexError(f'the checksum of the block at byte {first} is another')
    end = size - 4 * (struct.unpack('<I', block[-4:])[0] + 1)
    place, key = 0, b''
    while place < end:
        shared, place = varint(block, place)
        own, place = varint(block, place)
        length, place = varint(block, place)
        key = key[:shared] + block[place : place + own]
        yield key, block[place + own : place + own + length]
        place += own + length


def masked_crc32c(data: bytes) -> int:
    """Compute the checksum that stands behind a block: CRC-32C, turned and shifted as LevelDB does."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ CRC32C[(value ^ byte) & 0xFF]
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def describe(entry: bytes) -> tuple[int, tuple[int, ...], int, int, int]:
    """Read the description of a variable: type, shape, number of its file, first byte and number of bytes."""
    values = dict(fields(entry))
    dimensions = [dict(fields(value)).get(1, 0) for number, value in fields(values.get(2, b'')) if number == 2]
    return values.get(1, 0), tuple(dimensions), values.get(3, 0), values.get(4, 0), values.get(5, 0)


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of the fields of a message; those of a fixed width are left out."""
    place = 0
    while place < len(message):
        tag, place = varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, place = varint(message, place)
            yield number, value
        elif kind == BYTES:
            length, place = varint(message, place)
            yield number, message[place : place + length]
            place += length
        else:
            place += {1: 8, 5: 4}[kind]


def varint(data: bytes, place: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first; return it and the place behind it."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
