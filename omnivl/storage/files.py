"""Writing files so that a reader sees the old content or the new one, whatever happens in between."""

import contextlib
import errno
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from omnivl.errors import OmniVLRuntimeError, OmniVLTypeError

TEMPORARY_SUFFIX = '.tmp'
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _File(io.FileIO):
    """A file that keeps the error of the disk, which ``torch.save`` hides behind one of its own."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, size: int = 0) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place when the block ends without an error.

    The content is flushed to the disk before the rename, and the directory after it, so neither a ``kill -9`` nor a
    power cut leaves half a file under the name. Of a full disk the error says what is needed: ``size``, about how many
    bytes will be written, where it is known; what can have no room is then not begun.
    """
    target = Path(path)
    with telling_no_room(target, size):
        target.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(target.parent).free < size:
            raise _no_room(target, os.strerror(errno.ENOSPC), size)
        with _replacing(target) as file:
            yield file


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    handle, name = tempfile.mkstemp(prefix=f'.{target.name}.', suffix=TEMPORARY_SUFFIX, dir=target.parent)
    raw = _File(handle, 'wb')
    try:
        with raw, io.BufferedWriter(raw) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        if raw.error is not None:
            raise raw.error from None
        raise
    _sync_directory(target.parent)


@contextlib.contextmanager
def telling_no_room(path: Path, size: int = 0) -> Iterator[None]:
    """Say of a full disk, or of a limit on files, in one line what is needed at ``path`` and what there is."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        place = Path(error.filename) if error.filename and path.is_dir() else path
        raise _no_room(place, error.strerror or str(error), size) from error


def _no_room(path: Path, reason: str, size: int) -> OmniVLRuntimeError:
    folder = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    needed = f'about {size / 1e6:.3g} MB are needed, ' if size else ''
    return OmniVLRuntimeError(
        f'{path} cannot be written ({reason}): {needed}{shutil.disk_usage(folder).free / 1e6:.3g} MB are free there. '
        'What is on the disk is whole: make room (default_hooks.checkpoint.max_keep_ckpts keeps fewer checkpoints), '
        'raise the limit, or take another disk (--work-dir), then run the command again, a training with --resume'
    )


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, whole or not at all."""
    content = text.encode('utf-8')
    with atomic_write(path, len(content)) as file:
        file.write(content)


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write a JSON file, whole or not at all; numpy numbers and arrays are turned into plain ones."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, default=_plain_number) + '\n')


def remove_leftovers(directory: str | os.PathLike) -> list[str]:
    """Remove the temporary files and folders that killed writers left behind in a folder, and return their names."""
    leftovers = sorted(Path(directory).glob(f'.*{TEMPORARY_SUFFIX}'))
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
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
