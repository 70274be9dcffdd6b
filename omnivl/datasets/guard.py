"""A sample that hangs or kills its worker: found out, tried once more, and then left to the policy for broken files."""

import os
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from omnivl.errors import OmniVLRuntimeError
from omnivl.storage.lock import is_alive

QUARANTINE = 'quarantine.txt'  # in the work directory of a run
_HEAD = struct.Struct('<?qddII')  # is it being loaded, by which process, since when, for how long, lengths of the names
_TIMERS = hasattr(signal, 'setitimer')  # Windows has none, so there samples may take as long as they like
_SLOT = 8192  # bytes for the sample of a worker: its source and its path, which has 4096 at most
DEATHS = 2  # of a worker at one sample; the first may be that of a machine without memory


class SampleGuard:
    """Knows which sample each worker of a loader is loading, and which samples are not loaded any more.

    A worker writes down the sample before it begins, into memory that outlives it. When it dies, of a decoder's crash,
    for lack of memory, or because the time of the sample is over, the sample is tried once more; the second time it
    goes into quarantine: from then on its datasets treat it as a broken file.

    Args:
        workers: Number of workers of the loader.
        quarantine: File that the quarantine is kept in, for the runs to come, in the form of ``bad_files``; None =
            this run only.
    """

    def __init__(self, workers: int, quarantine: Path | None = None) -> None:
        self.slots = torch.zeros(workers, _SLOT, dtype=torch.uint8).share_memory_()
        self.quarantine = quarantine
        self.deaths: Counter[tuple[str, str]] = Counter()
        self.banned: dict[str, str] = {}
        if quarantine is not None and quarantine.is_file():
            self.banned = dict.fromkeys(read_paths(quarantine), f'it is in quarantine, see {quarantine}')

    @contextmanager
    def loading(self, source: str, path: str, seconds: float) -> Iterator[None]:
        """Load a sample inside, for so many seconds at most."""
        worker = get_worker_info()
        if worker is None or worker.id >= len(self.slots):
            with deadline(path, seconds):
                yield
            return
        slot = memoryview(self.slots[worker.id].numpy())
        names = source.encode()[:4000], os.fsencode(path)[: _SLOT - 4100]
        slot[_HEAD.size : _HEAD.size + sum(map(len, names))] = b''.join(names)
        _HEAD.pack_into(slot, 0, True, os.getpid(), time.monotonic(), seconds, *map(len, names))
        # A signal without a handler ends the process, also one that hangs in C code, where no handler would be called.
        if _TIMERS:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            if _TIMERS:
                signal.setitimer(signal.ITIMER_REAL, 0)
            slot[0] = 0

    def note_deaths(self) -> bool:
        """Look at what dead workers were loading; True if there was any sample to blame."""
        found = False
        for slot in self.slots.numpy():
            busy, process, since, seconds, *lengths = _HEAD.unpack_from(slot)
            if not busy or is_alive(process):
                continue
            slot[0] = 0
            found = True
            names = slot[_HEAD.size :].tobytes()
            source, path = names[: lengths[0]].decode(), os.fsdecode(names[lengths[0] : sum(lengths)])
            late = time.monotonic() - since >= seconds
            self._note_death(source, path, f'took more than {seconds:g} s (max_seconds)' if late else 'crashed')
        return found

    def _note_death(self, source: str, path: str, how: str) -> None:
        self.deaths[source, path] += 1
        if self.deaths[source, path] < DEATHS:
            print_log(f'{source}: the worker that loaded {path} {how}; it is tried once more', 'current', 30)
            return
        self.banned[path] = f'the worker that loaded it {how}, {DEATHS} times'
        if self.quarantine is not None:
            with self.quarantine.open('a', encoding='utf-8', errors='surrogateescape') as file:  # ranks may share it
                file.write(f'# {source}: {self.banned[path]}\n{path}\n')
        print_log(f'{source}: {path} is in quarantine: {self.banned[path]}', 'current', 30)


@contextmanager
def deadline(path: str, seconds: float) -> Iterator[None]:
    """Raise an error in a block that takes longer; only in the main thread, and once C code comes back to Python."""
    if not _TIMERS or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(signum: int, frame: FrameType | None) -> None:
        raise OmniVLRuntimeError(f'loading {path} took more than {seconds:g} s (max_seconds of its dataset)')

    handler = signal.signal(signal.SIGALRM, late)
    begin, (left, interval) = time.monotonic(), signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's timer
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begin), 1e-3), interval)


def read_paths(file: Path) -> Iterator[str]:
    """Yield the paths of a list such as ``bad_files``: one a line, beside comments that begin with #."""
    for line in file.read_text(encoding='utf-8', errors='surrogateescape').splitlines():
        if line.strip() and not line.startswith('#'):
            yield line.strip()
