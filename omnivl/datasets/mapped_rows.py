"""The rows of a dataset in one file for all processes of a machine, made anew when what they are made of changes."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from mmengine.logging import print_log

from omnivl.errors import OmniVLValueError
from omnivl.places import cache_root
from omnivl.storage.hashes import content_sha256, file_sha256
from omnivl.storage.lock import wait_for_lock

from .annotations import AnnotationReader
from .storage import CompactRows

MIN_BYTES = 64 << 20  # of annotation files; smaller ones are read in a moment
KEPT_DAYS = 30  # a file that nobody has mapped for so long is removed
_PLAIN = (str, int, float, bool, bytes, type(None))
# Attributes of readers and datasets that have no part in the rows.
_STATE = {
    *('dropped', 'transforms', 'guard', 'rows', 'map_rows', 'seed', 'broken', 'max_broken_share', 'max_seconds'),
    '_left_out',
}


def map_rows(
    dataset: Any,
    wanted: bool | None,
    read: Callable[[BinaryIO | None], CompactRows],
    facts: Callable[[], dict[str, int]],
) -> tuple[CompactRows, dict[str, int]]:
    """Map the rows of a dataset, which the first process on this machine reads and writes; others wait for it.

    Args:
        dataset: The dataset: a name and a reader, and arguments that the rows depend on.
        wanted: Whether to; None = where the annotation files are large.
        read: Reads the rows, with their bytes in a file or, for None, in memory.
        facts: What else reading has found out, to be kept beside the rows.

    Returns:
        The rows, in memory where they are not to be mapped or what they are made of cannot be told, and the facts.
    """
    parts = None if wanted is False else _parts(dataset)
    if parts is None or (wanted is None and sum(map(os.path.getsize, _files(parts))) < MIN_BYTES):
        return read(None), facts()
    folder = cache_root() / 'rows'
    name = re.sub(r'[^\w.-]', '_', dataset.name)[:80]
    path = folder / f'{name}-{_key(dataset, parts)[:20]}.npz'
    with wait_for_lock(folder / f'{name}.lock'):
        with suppress(FileNotFoundError, OmniVLValueError):  # a damaged one is made anew
            os.utime(path)
            return CompactRows.map(path)
        start = time.monotonic()
        with TemporaryFile(dir=folder) as file:
            read(file).save(path, facts())
        _remove_old(folder)
        print_log(f'{dataset.name}: its rows are kept in {path} ({time.monotonic() - start:.1f} s)', 'current')
        return CompactRows.map(path)


def _parts(dataset: Any) -> list[Any] | None:
    """List what rows are made of, nested and plain; None where that is more than files and plain values."""
    found: list[Any] = [type(dataset).__qualname__]
    for owner in (dataset, *_readers(dataset.reader)):
        found.append(type(owner).__qualname__)
        for name, value in sorted(vars(owner).items()):
            derived = isinstance(getattr(type(owner), name, None), cached_property)
            if name in _STATE or derived or isinstance(value, AnnotationReader):
                continue
            folder = isinstance(value, str) and name != 'visual_root' and os.path.isdir(value)
            if folder or not _is_plain(value):
                return None
            found += [name, value]
    # Classes may be those of the folders on the disk.
    return [*found, dataset.reader.classes] if os.path.isfile(dataset.reader.ann_file) else None


def _readers(reader: AnnotationReader) -> Iterator[AnnotationReader]:
    yield reader
    for value in vars(reader).values():
        if isinstance(value, AnnotationReader):
            yield from _readers(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, (*value, *value.values())))
    return isinstance(value, _PLAIN)


def _files(value: Any) -> set[str]:
    if isinstance(value, list | tuple):
        return set().union(*map(_files, value))
    return {value} if isinstance(value, str) and len(value) < 4096 and os.path.isfile(value) else set()


def _key(dataset: Any, parts: list[Any]) -> str:
    files = [(path, file_sha256(path)) for path in sorted(_files(parts))]
    modules = {kind.__module__ for owner in (dataset, dataset.reader) for kind in type(owner).__mro__}
    code = {getattr(sys.modules.get(name), '__file__', None) for name in modules}
    code |= {str(path) for path in Path(__file__).parent.rglob('*.py')}
    sources = sorted((Path(path).name, file_sha256(path)) for path in code if path and os.path.isfile(path))
    return content_sha256([parts, files, sources])


def _remove_old(folder: Path) -> None:
    for path in folder.glob('*.npz'):
        if time.time() - path.stat().st_mtime > KEPT_DAYS * 86400:
            path.unlink(missing_ok=True)
