"""One run per folder: a lock that goes with its process, however that ends."""

import contextlib
import errno
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from omnivl.errors import OmniVLRuntimeError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = '.lock'
_held: set[Path] = set()  # by this process, to which its own locks are no hindrance, and which loses them by any close
UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def lock_folder(directory: str | os.PathLike) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs; a folder that another one holds is an error.

    The lock is the kernel's (POSIX, also over NFS): it is released when this process dies of whatever, and the workers
    that it forks do not inherit it. The file stays and blocks nobody; what it says of its holder is for the message.
    Where the file system has no locks the file decides, and a holder that died on this machine is passed over.
    """
    path = Path(directory).resolve() / LOCK_FILE
    if path in _held:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a+', encoding='utf-8') as file:
        locked = _try_lock(file)
        holder = _read_holder(file)
        if locked is False or (locked is None and _may_live(holder)):
            raise OmniVLRuntimeError(_refusal(path, holder, by_kernel=locked is False))
        own = dict(host=socket.gethostname(), process=os.getpid(), since=time.strftime('%Y-%m-%d %H:%M:%S'))
        _write(file, json.dumps(own | dict(command=shlex.join(sys.argv))))
        _held.add(path)
        try:
            yield
        finally:
            _held.remove(path)
            _write(file, '')


@contextlib.contextmanager
def wait_for_lock(path: str | os.PathLike) -> Iterator[None]:
    """Let one process, or thread, after the other into a block; the lock is the kernel's, and goes with the process.

    Where the file system has no locks nobody waits, so what is done inside must also be whole without one.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a') as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)  # lockf knows no threads
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
        try:
            yield
        finally:
            if fcntl is not None:  # closing does not unlock what a process forked in the meantime has open, too
                with contextlib.suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_UN)


def _try_lock(file: IO[str]) -> bool | None:
    """Lock a file; False = another process has, None = there are no locks here."""
    if fcntl is None:
        return None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return None
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _read_holder(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    with contextlib.suppress(ValueError):  # empty, or cut off by a crash
        holder = json.loads(file.read())
        return holder if isinstance(holder, dict) else {}
    return {}


def _write(file: IO[str], text: str) -> None:
    # Not renamed into its place like other files: the lock is on this very file.
    with contextlib.suppress(OSError):  # a full disk; the lock holds without its text
        file.truncate(0)
        file.write(text)
        file.flush()


def _may_live(holder: dict[str, Any]) -> bool:
    """Whether the process that a file names may be running: only this machine's own can be looked at."""
    if not holder:
        return False
    if holder.get('host') != socket.gethostname() or os.name != 'posix':
        return True
    process = holder.get('process', 0)
    return isinstance(process, int) and process != os.getpid() and is_alive(process)


def is_alive(process: int) -> bool:
    """Whether a process of this machine exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _refusal(path: Path, holder: dict[str, Any], by_kernel: bool) -> str:
    known = {name: holder.get(name, '?') for name in ('host', 'process', 'since', 'command')}
    removal = '' if by_kernel else f'. If that process is gone, delete {path}'
    return (
        '{folder} is in use by another run: process {process} on {host}, since {since} ({command}). Wait until it has '
        'ended, or choose another folder with --work-dir{removal}'
    ).format(folder=path.parent, removal=removal, **known)
