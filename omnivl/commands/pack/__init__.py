"""Write the data of a config as shards with an index: each data set into a folder of its own.

A shard is a tar file of key.jpg or key.mp4, with key.txt (the captions, one a line) and key.json (all that the lists
say), as other tools read them too. Samples are mixed by a draw, so that neighbours in a shard have nothing in common.
Files that are missing are left out, counted and listed. An interrupted run goes on where it was when it is started
again. Exit code: 0 every file is in a shard, 1 some are not, 2 another error.

Examples:
    omnivl pack pretrain_image --out data/shards
    omnivl pack pretrain_joint --out data/shards --names webvid kinetics400 --samples 500
"""

import argparse
from pathlib import Path

from ..main import UsageError
from ..options import CONFIG_HELP, ROLES, add_config_options
from ..shards import add_workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help=CONFIG_HELP)
    add_config_options(parser)
    parser.add_argument('--out', type=Path, required=True, help='folder of the folders of shards')
    parser.add_argument('--roles', nargs='+', choices=ROLES, default=['train'], help='which data; by default train')
    parser.add_argument('--names', nargs='+', help='data sets of the config, by name; by default all')
    parser.add_argument(
        '--samples', type=int, help='samples of a shard; by default 5000 images or 250 videos, some hundred megabytes'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the draw that mixes the samples; by default 0')
    add_workers(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the shards."""
    if arguments.workers < 0:
        raise UsageError(f'--workers must not be negative, got {arguments.workers}')
    if arguments.samples is not None and arguments.samples < 1:
        raise UsageError(f'--samples must be at least 1, got {arguments.samples}')
    if arguments.seed < 0:
        raise UsageError(f'--seed must not be negative, got {arguments.seed}')
    from .writing import run_packing

    return run_packing(arguments)
