"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT [--work-dir DIR] ...``."""

import argparse
import sys
from pathlib import Path

from mmengine.config import Config, DictAction

from omnivl.engine import CheckpointError, ConfigError, OmniVLRunner, apply_options, read_config
from omnivl.engine.distributed import LAUNCHERS
from omnivl.registry import RUNNERS

# What only training needs; its data need not be there.
TRAINING_KEYS = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
VALIDATION_KEYS = ('val_dataloader', 'val_cfg', 'val_evaluator')


def parse_arguments() -> argparse.Namespace:
    """Read the command line.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint on the test data of a config.')
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path of the checkpoint (.pth or .safetensors)')
    parser.add_argument('--work-dir', help='folder of the results; by default work_dirs/<name of the config>/test')
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
        The config of the evaluation.

    Raises:
        ConfigError: If the config has nothing to test on.
    """
    cfg = read_config(arguments.config)
    apply_options(cfg, arguments.cfg_options)
    if cfg.get('test_dataloader') is None:
        raise ConfigError(f'{arguments.config} has no test_dataloader, test_evaluator and test_cfg: nothing to test on')
    for key in (*TRAINING_KEYS, *VALIDATION_KEYS):
        cfg[key] = None
    cfg.launcher = arguments.launcher
    cfg.work_dir = arguments.work_dir or f'{cfg.get("work_dir") or f"work_dirs/{Path(arguments.config).stem}"}/test'
    cfg.load_from, cfg.resume = arguments.checkpoint, False
    return cfg


def main() -> None:
    """Evaluate."""
    arguments = parse_arguments()
    try:
        cfg = load_config(arguments)
    except (ConfigError, FileNotFoundError) as error:
        sys.exit(f'error: {error}')
    runner_type = cfg.get('runner_type', OmniVLRunner)
    runner_type = RUNNERS.get(runner_type) if isinstance(runner_type, str) else runner_type
    try:
        runner_type.from_cfg(cfg).test()
    except (CheckpointError, FileNotFoundError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
