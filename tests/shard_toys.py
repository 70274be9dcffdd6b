"""Toy shards: pictures whose colour tells their number, and clips."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from omnivl.storage.shard_index import join_indices, write_index
from omnivl.storage.tar_shards import read_shard


def picture(number: int, size: tuple[int, int] = (12, 9)) -> bytes:
    """A PNG of one colour."""
    file = io.BytesIO()
    Image.new('RGB', size, (number % 256, number // 256, 7)).save(file, 'PNG')
    return file.getvalue()


def write_shard(path: Path, members: list[tuple[str, bytes]], **options) -> Path:
    """Write a tar file of members, name and content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w', **options) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(first: int, count: int, suffix: str = 'png') -> list[tuple[str, bytes]]:
    """The members that img2dataset writes of so many samples."""
    found = []
    for number in range(first, first + count):
        key = f'{number:09d}'
        row = json.dumps(dict(caption=f'number {number}', url='http://localhost/a.png', key=key, status='success'))
        found += [(f'{key}.{suffix}', picture(number)), (f'{key}.txt', f'number {number}'.encode())]
        found.append((f'{key}.json', row.encode()))
    return found


def write_set(folder: Path, counts: list[int], checksums: bool = True) -> Path:
    """Write shards of so many samples each, and their index; returns the index."""
    parts = []
    for number, count in enumerate(counts):
        shard = write_shard(folder / f'{number:05d}.tar', samples(sum(counts[:number]), count))
        parts.append(folder / f'.{number}.npz')
        write_index(parts[-1], shard.name, shard.stat().st_size, read_shard(str(shard), checksums))
    join_indices(folder / 'index.npz', parts)
    for part in parts:
        part.unlink()
    return folder / 'index.npz'


def number_of(item: dict) -> int:
    """The number that the pixels of a loaded or packed item tell."""
    frames = item['inputs']['image'][0].permute(1, 2, 0) if 'inputs' in item else item['frames'][0]
    red, green, _ = np.asarray(frames)[0, 0]
    return int(red) + 256 * int(green)
