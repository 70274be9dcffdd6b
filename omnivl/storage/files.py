"""Writing files so that a reader sees the old content or the new one, whatever happens in between."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from omnivl.errors import OmniVLTypeError

TEMPORARY_SUFFIX = '.tmp'


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place when the block ends without an error.

    The content is flushed to the disk before the rename, and the directory after it, so neither a ``kill -9`` nor a
    power cut leaves half a file under the name.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f'.{target.name}.', suffix=TEMPORARY_SUFFIX, dir=target.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_directory(target.parent)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode('utf-8'))


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write a JSON file, whole or not at all; numpy numbers and arrays are turned into plain ones."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, default=_plain_number) + '\n')


def remove_leftovers(directory: str | os.PathLike) -> list[str]:
    """Remove the temporary files that killed writers left behind in a folder, and return their names."""
    leftovers = sorted(Path(directory).glob(f'.*{TEMPORARY_SUFFIX}'))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return [leftover.name for leftover in leftovers]


def _plain_number(value: object) -> Any:
    if hasattr(value, 'tolist'):  # numpy numbers and arrays, tensors
        return value.tolist()
    raise OmniVLTypeError(f'a {type(value).__name__} cannot be written as JSON: {value!r}')


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_directory(directory: Path) -> None:
    if os.name != 'posix':  # Windows cannot open a directory
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
