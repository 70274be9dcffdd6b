"""What omnivl test does: config and weights put together, and the evaluations run."""

import argparse
from collections.abc import Mapping

from mmengine.config import Config

from omnivl.datasets.overlap import check_overlap
from omnivl.engine import ConfigError
from omnivl.engine.command_line import build_runner, is_test_only, read_run_config, take_model
from omnivl.engine.identity import is_model_folder, knows_itself, own_config
from omnivl.storage import CheckpointError
from omnivl.storage.checkpoint import load_last_checkpoint, missing_message
from omnivl.weights.names import find_model

from ..main import as_called
from ..options import RANDOM

# What only training needs; its data need not be there.
TRAINING_KEYS = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
VALIDATION_KEYS = ('val_dataloader', 'val_cfg', 'val_evaluator')


def load_config(arguments: argparse.Namespace) -> Config:
    """Read the config and put the options of the command line into it.

    Args:
        arguments: The options.

    Returns:
        The config of the evaluation, with the data of the training still in it.

    Raises:
        ConfigError: If the config has nothing to test on.
    """
    cfg = read_run_config(arguments)
    missing = [key for key in ('test_dataloader', 'test_evaluator', 'test_cfg') if cfg.get(key) is None]
    if missing:
        raise ConfigError(
            f'{arguments.config} has no {" and no ".join(missing)}: nothing to test on'
            + (f'; name a config that has: CONFIG {arguments.config}' if knows_itself(arguments.config) else '')
        )
    cfg.work_dir = arguments.work_dir or f'{cfg.work_dir}/test'
    cfg.load_from, cfg.resume = find_weights(cfg, arguments), False
    if arguments.submit is not None:
        cfg.test_cfg.submission_dir = arguments.submit or f'{cfg.work_dir}/submission'
    return cfg


def find_weights(cfg: Config, arguments: argparse.Namespace) -> str | Mapping | None:
    """Decide what the model is filled with.

    Args:
        cfg: The config.
        arguments: The options.

    Returns:
        A file; a reader of weights, which a config that only tests may have for them; None = the initial values.

    Raises:
        ConfigError: If no weights are given.
        CheckpointError: If a work directory has no whole checkpoint.
    """
    checkpoint, own = arguments.checkpoint, cfg.get('load_from')
    reader = own if is_test_only(cfg) and isinstance(own, Mapping) else None
    if checkpoint is None:
        if not is_test_only(cfg) or own is None:
            raise ConfigError(f'which weights? {as_called("omnivl test")} {arguments.config} CHECKPOINT (or {RANDOM})')
        return own
    if checkpoint == RANDOM:
        return None
    path = find_model(checkpoint)
    if reader is None and not path.exists():  # said before the data of the config, which may be missing too
        raise CheckpointError(missing_message(path))
    if path.is_dir() and reader is None:
        if is_model_folder(path):
            return own_config(path)[0].load_from
        found = load_last_checkpoint(path)[0]
        if found is None:
            raise CheckpointError(f'there is no checkpoint in the folder {checkpoint} (iter_*.pth or epoch_*.pth)')
        path = found
    return str(path) if reader is None else dict(reader, file=str(path))


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate what the options of the command describe."""
    take_model(arguments)
    cfg = load_config(arguments)
    note = check_overlap(cfg, ('test',))
    for key in (*TRAINING_KEYS, *VALIDATION_KEYS):
        cfg[key] = None
    runner = build_runner(cfg, note)
    if arguments.checkpoint == RANDOM:
        runner.start_at_random()
    runner.test()
