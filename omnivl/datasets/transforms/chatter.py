"""What decoders print: C code writes to stderr, and does not say of which file it speaks."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from types import TracebackType

from omnivl.datasets.errors import BrokenVisualError

STDERR = 2
SHOWN = 300  # characters


@lru_cache(maxsize=1)
def _tape(process: int) -> int:
    """Open the file that a process writes to in the meantime; forked workers must not share one."""
    handle, name = tempfile.mkstemp()
    os.unlink(name)  # it stays open as long as the process
    return handle


_copies: dict[str, str] = {}  # path of a copy -> what it is a copy of


@contextmanager
def named_as(copy: str, url: str) -> Iterator[None]:
    """Call a copy what it is a copy of, as long as the block runs."""
    _copies[copy] = url
    try:
        yield
    finally:
        del _copies[copy]


class heard(AbstractContextManager):  # noqa: N801  (reads as what it does)
    """Catch what is printed to stderr while a file is decoded, and attach it to the file.

    It goes into the reason of a ``BrokenVisualError``; where there is none it is printed in one line that begins with
    the path. A class, as ``reported_as_broken`` is, and for speed: it takes some microseconds.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.tape = _tape(os.getpid())
        self.stderr = os.dup(STDERR)
        os.dup2(self.tape, STDERR)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.dup2(self.stderr, STDERR)
        os.close(self.stderr)
        length = os.lseek(self.tape, 0, os.SEEK_CUR)
        if not length:
            return
        said = os.pread(self.tape, min(length, 1 << 16), 0).decode(errors='replace')
        os.ftruncate(self.tape, 0)
        os.lseek(self.tape, 0, os.SEEK_SET)
        said = '; '.join(dict.fromkeys(line.strip() for line in said.splitlines() if line.strip()))[:SHOWN]
        if isinstance(error, BrokenVisualError):
            raise BrokenVisualError(self.path, f'{error.reason} (the decoder says: {said})') from error.__cause__
        print(f'{_copies.get(self.path, self.path)}: the decoder says: {said}', file=sys.stderr, flush=True)
