"""Train a model: ``python tools/train.py CONFIG [--work-dir DIR] [--resume [PATH]] [--amp bf16] ...``."""

import argparse
import sys
from pathlib import Path

from mmengine.config import Config, DictAction

from omnivl.engine import CheckpointError, ConfigError, OmniVLRunner, apply_options, check_schedule, read_config
from omnivl.engine.distributed import LAUNCHERS
from omnivl.registry import RUNNERS


def parse_arguments() -> argparse.Namespace:
    """Read the command line.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(description='Train a model.')
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints; by default work_dirs/<name of the config>')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='go on with a run: from the last whole checkpoint of the work directory, or from PATH',
    )
    parser.add_argument('--amp', choices=('bf16', 'fp16'), help='mixed precision; fp16 needs a GPU')
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
    return parser.parse_args()


def load_config(arguments: argparse.Namespace) -> Config:
    """Read the config and put the options of the command line into it.

    Args:
        arguments: The options.

    Returns:
        The config of the run.
    """
    cfg = read_config(arguments.config)
    apply_options(cfg, arguments.cfg_options)
    check_schedule(cfg)
    cfg.launcher = arguments.launcher
    cfg.work_dir = arguments.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(arguments.config).stem}'
    if arguments.resume is not None:
        cfg.resume = arguments.resume
    if arguments.amp is not None:
        cfg.optim_wrapper.type = 'PrecisionOptimWrapper'
        cfg.optim_wrapper.precision = arguments.amp
    return cfg


def main() -> None:
    """Train."""
    arguments = parse_arguments()
    try:
        cfg = load_config(arguments)
    except (ConfigError, FileNotFoundError) as error:
        sys.exit(f'error: {error}')
    runner_type = cfg.get('runner_type', OmniVLRunner)
    runner_type = RUNNERS.get(runner_type) if isinstance(runner_type, str) else runner_type
    try:
        runner_type.from_cfg(cfg).train()
    except (CheckpointError, FileNotFoundError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
