"""Train the model of a config, from nothing or from the weights that it names.

Logs and checkpoints go into a work directory. A run that ended goes on with --resume, as if it had not been broken.
bash tools/dist_train.sh and tools/slurm_train.sh of a checkout start several processes.

Examples:
    omnivl train pretrain_image --data-root /data/corpora
    omnivl train pretrain_joint --work-dir work_dirs/joint --amp bf16
    omnivl train configs/omnivl/vqa_v2.py --resume
    omnivl train retrieval_coco --cfg-options optim_wrapper.optimizer.lr=1e-5
"""

import argparse
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..options import CONFIG_HELP, add_run_options

# Those of the training, whose modules are not to be imported yet.
RESTART_CODE, FAREWELL = 75, 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='go on with a run: from the last whole checkpoint of the work directory, or from PATH',
    )
    parser.add_argument('--amp', choices=('bf16', 'fp16'), help='mixed precision; fp16 needs a GPU')
    add_run_options(parser, 'logs and checkpoints', 'work_dirs/<name of the config>')


def run(arguments: argparse.Namespace) -> None:
    """Train."""
    with asking_for_a_restart():
        from .training import train

        train(arguments)


@contextmanager
def asking_for_a_restart() -> Iterator[None]:
    """Take a scheduler's signal that nobody listens to as ``leave`` does, while the block runs."""
    listens = hasattr(signal, 'SIGUSR1') and threading.current_thread() is threading.main_thread()
    if not listens or signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGUSR1, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def leave(number: int, frame: FrameType | None) -> None:
    """Ask for a restart when a scheduler signals before there is a training that could save: imports take seconds.

    Of several processes of slurm the first asks, a little after the others have left, see ``AlternatingTrainLoop``.
    """
    if os.environ.get('SLURM_PROCID', '0') != '0':
        os._exit(0)
    time.sleep(FAREWELL)
    os._exit(RESTART_CODE)
