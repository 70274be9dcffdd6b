"""What omnivl train does: the config of the run, and whether it goes on."""

import argparse

from mmengine.config import Config

from omnivl.datasets.overlap import check_overlap
from omnivl.engine import ConfigError, check_schedule
from omnivl.engine.command_line import build_runner, is_test_only, read_run_config

from ..main import as_called


def load_config(arguments: argparse.Namespace) -> Config:
    """Read the config and put the options of the command line into it.

    Args:
        arguments: The options.

    Returns:
        The config of the run.

    Raises:
        ConfigError: If the config has nothing to train on.
    """
    cfg = read_run_config(arguments)
    if is_test_only(cfg):
        raise ConfigError(
            f'{arguments.config} has no train_dataloader, train_cfg and optim_wrapper: it only tests, see '
            + as_called(f'omnivl test {arguments.config} CHECKPOINT')
        )
    check_schedule(cfg)
    if arguments.resume is not None:
        cfg.resume = arguments.resume
    if arguments.amp is not None:
        cfg.optim_wrapper.type = 'PrecisionOptimWrapper'
        cfg.optim_wrapper.precision = arguments.amp
    return cfg


def train(arguments: argparse.Namespace) -> None:
    """Train what the options of the command describe."""
    cfg = load_config(arguments)
    note = check_overlap(cfg, ('val', 'test'))
    build_runner(cfg, note).train()
