"""Checksums: of files, which say what a result or an index was made from, and of values, which travel with them."""

import functools
import hashlib
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CHUNK = 1 << 20


def content_sha256(value: object) -> str:
    """Return the SHA-256 of a nested plain value, as ``to_plain`` makes it: types, keys in their order, tensors.

    It says of a value what a checksum says of a file: equal ones have one, whatever file they were read from.
    """
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """Return the ``content_sha256`` of weights, sorted by name: a safetensors file keeps no order."""
    return content_sha256(dict(sorted(weights.items())))


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, as ``sha256sum`` prints it; read again only where size or time have changed."""
    status = os.stat(path)
    return _sha256_of_state(os.path.abspath(path), status.st_size, status.st_mtime_ns)


def folder_sha256(folder: str | os.PathLike) -> str:
    """Return what ``cat FOLDER/* | sha256sum`` prints where names are sorted by byte."""
    found = hashlib.sha256()
    for path in sorted(Path(folder).iterdir(), key=lambda path: path.name):
        found.update(path.read_bytes())
    return found.hexdigest()


def read_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file as it is on the disk now, whatever was found before."""
    found = hashlib.sha256()
    with open(path, 'rb') as file:
        while part := file.read(CHUNK):
            found.update(part)
    return found.hexdigest()


@functools.lru_cache
def _sha256_of_state(path: str, size: int, changed: int) -> str:
    return read_sha256(path)


def _feed(found: Any, value: object) -> None:
    """Feed a value to a hash so that no two values give the same bytes: each part says its type and its length."""
    if isinstance(value, Tensor):
        shape = ','.join(map(str, value.shape))
        found.update(f'tensor {value.dtype} {shape};'.encode())
        # The memory itself is hashed: numpy has no bfloat16, and a copy of every tensor would cost as much again.
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, dict | list | tuple):
        found.update(f'{type(value).__name__} {len(value)};'.encode())
        for item in [part for pair in value.items() for part in pair] if isinstance(value, dict) else value:
            _feed(found, item)
    else:
        text = struct.pack('<d', value) if isinstance(value, float) else value
        data = text if isinstance(text, bytes) else str(text).encode('utf-8', 'surrogatepass')
        found.update(f'{type(value).__name__} {len(data)};'.encode() + data)
