"""What the commands that run a config share: their options, the runner, and errors that end with one line."""

import argparse
import contextlib
import dis
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.runner import Runner

from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.overlap import OverlapError
from omnivl.registry import RUNNERS
from omnivl.storage import CheckpointError

from .config import ConfigError, apply_options, read_config
from .distributed import LAUNCHERS
from .runner import OmniVLRunner


def add_run_options(parser: argparse.ArgumentParser, results: str, work_dir: str) -> None:
    """Add the options of every command that runs a config.

    Args:
        parser: Has ``config`` already.
        results: What the work directory holds, for its help.
        work_dir: Which one it is by default, for its help.
    """
    parser.add_argument('--work-dir', help=f'folder of {results}; by default {work_dir}')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='change values of the config',
    )
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what starts several processes')
    # Set by old versions of torch's launcher.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def read_run_config(arguments: argparse.Namespace) -> Config:
    """Read the config and put the options of :func:`add_run_options` into it.

    Args:
        arguments: The options.

    Returns:
        The config; its ``work_dir`` is that of a training.

    Raises:
        ConfigError: If there is no such file, or if the file or an option names something that does not exist.
    """
    cfg = read_config(arguments.config)
    apply_options(cfg, arguments.cfg_options)
    cfg.launcher = arguments.launcher
    cfg.work_dir = arguments.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(arguments.config).stem}'
    return cfg


def is_test_only(cfg: Config) -> bool:
    """Whether a config has nothing to train, such as those of zero-shot evaluation and of probes."""
    return cfg.get('train_dataloader') is None


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config names, by default ``OmniVLRunner``."""
    runner_type = cfg.get('runner_type', OmniVLRunner)
    runner_type = RUNNERS.get(runner_type) if isinstance(runner_type, str) else runner_type
    return runner_type.from_cfg(cfg)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End the command with one line, and without a traceback, where the mistake is not the code's.

    ``log_level='DEBUG'`` in the config shows the traceback too.
    """
    try:
        yield
    except (BrokenVisualError, CheckpointError, ConfigError, OSError, OverlapError) as error:
        _end_with(error)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        message = message_of_worker(error) or message_of_registry(error)
        if message is None and not is_own_message(error):
            raise
        _end_with(message or error)


def is_own_message(error: BaseException) -> bool:
    """Whether a ``raise`` of omnivl made an error: such ones say what to change; others are mistakes of the code.

    Args:
        error: As it was caught.

    Returns:
        False also for errors that Python itself makes while it runs code of omnivl, such as those of ``int('x')``.
    """
    module, place = _origin(error)
    if not module.startswith('omnivl.'):
        return False
    return dis.opname[place.tb_frame.f_code.co_code[place.tb_lasti]] == 'RAISE_VARARGS'


def message_of_registry(error: BaseException) -> str | None:
    """What is wrong with a dict of the config that names a component without what it needs, or one that is not there.

    Args:
        error: As it was caught.

    Returns:
        The message; None if the error comes from somewhere else.
    """
    module, _ = _origin(error)
    if not isinstance(error, KeyError | TypeError) or module != 'mmengine.registry.build_functions':
        return None
    return f'the config cannot be built: {error.args[0] if error.args else error}'


def _origin(error: BaseException) -> tuple[str, TracebackType]:
    """Module that raised a caught error, and the innermost entry of its traceback."""
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    return place.tb_frame.f_globals.get('__name__', ''), place


def message_of_worker(error: BaseException) -> str | None:
    """What a worker of a loader says of a file or of annotations; torch hands it over with the worker's traceback.

    Args:
        error: As it was caught.

    Returns:
        The message alone; None if the error is not one of these.
    """
    match = re.search(
        r'^Caught \w+ in DataLoader worker .*^omnivl\.datasets\.errors\.\w+: (.*)', str(error), re.S | re.M
    )
    return None if match is None else match[1].strip()


def _end_with(error: Exception | str) -> None:
    print_log(traceback.format_exc(), logger='current', level=logging.DEBUG)
    sys.exit(f'error: {error}')
