"""Checksums of files: what a result or an index was made from."""

import functools
import hashlib
import os
from pathlib import Path

CHUNK = 1 << 20


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


@functools.lru_cache
def _sha256_of_state(path: str, size: int, changed: int) -> str:
    found = hashlib.sha256()
    with open(path, 'rb') as file:
        while part := file.read(CHUNK):
            found.update(part)
    return found.hexdigest()
