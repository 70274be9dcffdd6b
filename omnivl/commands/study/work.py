"""One run of a study, in a process of its own: ``python -m omnivl.commands.study.work FOLDER``.

``FOLDER/run.json`` says what to do, in the terms of omnivl train and omnivl test, which do it.
"""

import json
import os
import signal
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path

from ..errors import one_line_errors


def work(folder: Path) -> None:
    """Train, or test, as ``run.json`` of a folder says.

    Args:
        folder: Of the run; it gets checkpoints or figures.
    """
    asked = json.loads((folder / 'run.json').read_text(encoding='utf-8'))
    shared = dict(
        config=asked['config'],
        cfg_options=asked['options'],
        trust_code=False,
        work_dir=str(folder),
        track=['none'],
        launcher='none',
    )
    if asked['kind'] == 'train':
        from omnivl.storage.checkpoint import find_checkpoints

        from ..train.training import train

        train(Namespace(**shared, resume='auto' if find_checkpoints(folder) else None, amp=None))
    else:
        from ..test.testing import evaluate

        evaluate(Namespace(**shared, checkpoint=asked['checkpoint'], model=None, submit=None))


def leave_with(parent: int) -> None:
    """Ask this process to save and to leave once its parent is gone: nobody would wait for it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == '__main__':
    threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    with one_line_errors():
        work(Path(sys.argv[1]))
