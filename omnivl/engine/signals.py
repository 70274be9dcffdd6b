"""Signals that ask a training to make room: it saves at the end of the step and asks for a restart."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from mmengine.dist import is_main_process

from omnivl.storage.lock import is_alive

RESTART_CODE = 75  # "try again later", EX_TEMPFAIL of sysexits.h
# What schedulers send when the time of a job is over, or when another one needs the machine.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1') if hasattr(signal, name))
# A scheduler may signal every process and the launcher pass its own signal on: within these seconds it is one request.
SAME_REQUEST = 1.0
LAUNCHER_PROCESS = 'OMNIVL_LAUNCHER'  # environment variable, set by tools/launch.py
GRACE = 120.0  # seconds that a rank whose launcher is gone has to save and leave


class StopRequest:
    """Whether this process was asked to stop; the ranks agree on it in their next step.

    Attributes:
        name: The signal that asked; None = nobody has.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.time = 0.0

    @contextlib.contextmanager
    def listen(self) -> Iterator[None]:
        """Take signals as requests while the block runs; it has to be in the main thread, else nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        # What is ignored from the start stays so; a handler that is not Python's (None) could not be put back.
        ours = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
        for number in ours:
            signal.signal(number, self._take)
        try:
            yield
        finally:
            for number in ours:
                signal.signal(number, before[number])

    def _take(self, number: int, frame: FrameType | None) -> None:
        now, again = time.monotonic(), self.name is not None
        if again and now - self.time < SAME_REQUEST:
            return
        if again:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.name, self.time = signal.Signals(number).name, now
        if is_main_process():  # not over a logger, whose stream may be in the middle of a line of its own
            with contextlib.suppress(OSError):
                os.write(2, f'{self.name}: saving at the end of the step; send it again to leave at once\n'.encode())


def watch_launcher() -> None:
    """End this process when the one that started it is gone, as after a ``kill -9`` of torchrun, which ends no rank.

    It is asked to stop as by a scheduler, so a training saves first; after ``GRACE`` seconds it ends whatever it does,
    for it holds its GPU and its work directory.
    """
    parent = os.getppid()
    # A launcher may be gone before this runs, seconds of imports later: then the parent is another from the start.
    launcher = int(os.environ.get(LAUNCHER_PROCESS, parent))
    threading.Thread(target=_end_without, args=(parent, launcher), name='watch-launcher', daemon=True).start()


def _end_without(parent: int, launcher: int) -> None:
    while os.getppid() == parent and is_alive(launcher):
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(RESTART_CODE)
