"""Start of a dataloader's worker process."""

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from mmengine.registry import FUNCTIONS

_SECONDS_BETWEEN_LOOKS = 1.0


@FUNCTIONS.register_module()
def init_worker(worker_id: int) -> None:
    """Make a worker end when the process that started it is gone; give it to the dataloader as ``worker_init_fn``.

    torch's own watch has two gaps: a worker whose parent is killed before its loop begins takes the process that
    inherits it for its parent and stays for ever (seen with torch 2.15), and one that hangs in a decoder does not look.
    No seeds are set here: the draws of a sample come from its key.

    It leaves the process group, too: torchrun and terminals send signals to the whole group, and a training that is
    asked to stop still needs the batches of its step.
    """
    with contextlib.suppress(AttributeError, OSError):  # none of it on Windows
        os.setpgid(0, 0)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), name=f'watch-parent-{worker_id}', daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    # A fork server is the system's parent of its workers, so there only the sentinel tells; elsewhere the parent's
    # number tells at once, while workers forked later hold the sentinel of earlier ones open.
    direct = type(multiprocessing.current_process()).__name__ != 'ForkServerProcess'
    while not (direct and os.getppid() != parent.pid):
        if wait([parent.sentinel], timeout=_SECONDS_BETWEEN_LOOKS):
            break
    os._exit(1)
