"""The index of shards: for each picture or clip where its bytes are and what is said of it, in one mapped file.

The file is an uncompressed ``.npz`` (see ``arrays.py``) with a row for each sample: ``shard`` (place among ``shards``),
``offset``, ``length``, ``crc32`` (-1 = not known), and as strings ``name``, ``text``, ``label``, ``records``; with the
names and sizes of the shards. A string column ``x`` is the arrays ``x``, bytes, and ``x_ends``.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from omnivl.errors import OmniVLValueError

from .arrays import Strings, map_arrays, write_arrays
from .tar_shards import Contents, Member, Sample

NUMBERS = dict(shard=np.int32, offset=np.int64, length=np.int64, crc32=np.int64)
STRINGS = ('name', 'text', 'label', 'records')
FORMAT = 1


class IndexOfShards:
    """A mapped index.

    Args:
        path: Its file.

    Attributes:
        shards: Names of the shards, relative to their folder or URL.
        sizes: Their sizes in bytes; int64 (number of shards,).

    Raises:
        OmniVLValueError: It is no index.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        arrays = map_arrays(path)
        needed = {
            'format',
            'sizes',
            *NUMBERS,
            *(f'{name}{end}' for name in (*STRINGS, 'shards') for end in ('', '_ends')),
        }
        if missing := sorted(needed - arrays.keys()):
            raise OmniVLValueError(
                f'{path} is no index of shards, it has no {missing[0]!r}: write one with omnivl shards'
            )
        if arrays['format'][0] != FORMAT:
            raise OmniVLValueError(
                f'{path} is an index of format {arrays["format"][0]}, this version reads {FORMAT}: write it anew'
            )
        self.numbers = {name: arrays[name] for name in NUMBERS}
        self.strings = {name: Strings(arrays[name], arrays[f'{name}_ends']) for name in STRINGS}
        self.shards = [bytes(name).decode() for name in Strings(arrays['shards'], arrays['shards_ends'])]
        self.sizes = arrays['sizes']

    def __len__(self) -> int:
        return len(self.numbers['shard'])

    def __getitem__(self, index: int) -> Sample:
        shard, offset, length, crc32 = (int(column[index]) for column in self.numbers.values())
        name, *texts = (bytes(column[index]).decode() for column in self.strings.values())
        return Sample(Member(self.shards[shard], name, offset, length, None if crc32 < 0 else crc32), *texts)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def write_index(path: Path, shard: str, size: int, contents: Contents) -> None:
    """Write the index of one shard, whose name and size are given."""
    visuals = [sample.visual for sample in contents.samples]
    crc32s = [-1 if one.crc32 is None else one.crc32 for one in visuals]
    numbers = dict(
        shard=[0] * len(visuals),
        offset=[one.offset for one in visuals],
        length=[one.length for one in visuals],
        crc32=crc32s,
    )
    texts = dict(
        name=[one.name for one in visuals],
        text=[sample.text for sample in contents.samples],
        label=[sample.label for sample in contents.samples],
        records=[sample.records for sample in contents.samples],
        shards=[shard],
        troubles=contents.troubles,
    )
    _write(
        path,
        {name: np.array(values, NUMBERS[name]) for name, values in numbers.items()} | dict(sizes=np.array([size])),
        {name: Strings.of(one.encode(errors='replace') for one in values) for name, values in texts.items()},
    )


def troubles_of(path: Path) -> list[str]:
    """Return what ``write_index`` was told to be wrong with a shard."""
    arrays = map_arrays(path)
    return [bytes(one).decode() for one in Strings(arrays['troubles'], arrays['troubles_ends'])]


def join_indices(path: Path, parts: Sequence[Path]) -> None:
    """Put the indices of single shards together, in their order; texts go through a file, not through memory."""
    arrays = [map_arrays(part) for part in parts]
    numbers = {name: np.concatenate([part[name] for part in arrays]) for name in (*NUMBERS, 'sizes')}
    counts = [len(part['shard']) for part in arrays]
    numbers['shard'] = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=path.parent) as file:
        strings = {
            name: Strings.joined([Strings(part[name], part[f'{name}_ends']) for part in arrays], file)
            for name in (*STRINGS, 'shards', 'troubles')
        }
        _write(path, numbers, strings)


def _write(path: Path, numbers: Mapping[str, np.ndarray], strings: Mapping[str, Strings]) -> None:
    columns = {name: column.content for name, column in strings.items()}
    ends = {f'{name}_ends': column.ends for name, column in strings.items()}
    write_arrays(path, dict(format=np.array([FORMAT]), **numbers, **columns, **ends))
