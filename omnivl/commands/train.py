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

from mmengine.config import Config

from omnivl.datasets.overlap import check_overlap
from omnivl.engine import ConfigError, check_schedule
from omnivl.engine.command_line import (
    CONFIG_HELP,
    add_run_options,
    build_runner,
    is_test_only,
    one_line_errors,
    read_run_config,
)
from omnivl.storage.checkpoint import find_checkpoints

from .main import as_called

# How often a launcher has started this run anew: torchrun with --max-restarts, a requeued job of slurm.
RESTART_COUNTS = ('TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT')


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
    # Before its first checkpoint a run begins again as it was told to begin.
    if any(os.environ.get(name, '0') != '0' for name in RESTART_COUNTS) and find_checkpoints(cfg.work_dir):
        cfg.resume = 'auto'
    if arguments.amp is not None:
        cfg.optim_wrapper.type = 'PrecisionOptimWrapper'
        cfg.optim_wrapper.precision = arguments.amp
    return cfg


def run(arguments: argparse.Namespace) -> None:
    """Train."""
    with one_line_errors():
        cfg = load_config(arguments)
        note = check_overlap(cfg, ('val', 'test'))
        build_runner(cfg, note).train()
