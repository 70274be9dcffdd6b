"""What the commands that run a config share: their options, the runner, and errors that end with one line."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from omnivl.datasets.overlap import OverlapError
from omnivl.registry import RUNNERS

from .checkpoint import CheckpointError
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
    """End the command with one line, and without a traceback, where the mistake is not the code's."""
    try:
        yield
    except (CheckpointError, ConfigError, FileNotFoundError, OverlapError) as error:
        sys.exit(f'error: {error}')
