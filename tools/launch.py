"""Start several processes as ``torchrun`` does, and end as they do when they are asked to stop.

``python tools/launch.py [options of torchrun] SCRIPT [options of SCRIPT]``. SIGTERM and SIGUSR1 are passed on as
SIGTERM; the processes of a training save and leave, and this one ends with their code, 75. torchrun itself ends with a
traceback and code 1, and leaves its processes behind at SIGUSR1.
"""

import os
import signal
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as run

RESTART_CODE = 75  # of omnivl.engine.signals, whose import would take this process seconds and memory


def main() -> None:
    """Start the processes and wait for them."""
    if hasattr(signal, 'SIGUSR1'):
        signal.signal(signal.SIGUSR1, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
    os.environ['OMNIVL_LAUNCHER'] = str(os.getpid())  # whose end the processes look out for
    # A step and a checkpoint may take longer than the half minute after which torchrun kills (since torch 2.8).
    os.environ.setdefault('TORCH_ELASTIC_SHUTDOWN_TIMEOUT', '120')
    try:
        run()
    except SignalException as error:
        sys.exit(RESTART_CODE if error.sigval == signal.SIGTERM else 128 + error.sigval)
    except ChildFailedError as error:
        # One that left so is enough: it did when all had agreed to and the checkpoint was written.
        if any(failure.exitcode == RESTART_CODE for failure in error.failures.values()):
            sys.exit(RESTART_CODE)
        raise


if __name__ == '__main__':
    main()
