"""Read every image, video and sound of a config once and list the ones that are broken.

Each file is decoded from beginning to end by the loaders of its pipeline. A clip without sound, or with silence alone,
counts as broken where the pipeline loads its sound, unless --allow-silent is given. The list has one path a line, with
the reason as a comment above it, and goes into the datasets of the config: bad_files='bad_files.txt'. An interrupted
run goes on where it was when it is started again. With --overlap files are compared, and the list has those of the
training that an evaluation has too, whatever they are called. Exit code: 0 the list is empty, 1 it is not, 2 an error.

Examples:
    omnivl verify pretrain_joint
    omnivl verify configs/omnivl/pretrain_joint.py --workers 16 --out data/bad_files.txt
    omnivl verify configs/omnivl/pretrain_joint.py --roles train
    omnivl verify pretrain_joint --overlap --out data/copies.txt
"""

import argparse
import os
from pathlib import Path

from ..main import UsageError
from ..options import CONFIG_HELP, MAX_SECONDS, ROLES, add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help=CONFIG_HELP)
    add_config_options(parser)
    parser.add_argument(
        '--overlap',
        action='store_true',
        help='list files of the training that are byte for byte those of an evaluation',
    )
    parser.add_argument(
        '--allow-silent',
        action='store_true',
        help='leave clips without sound, and with silence alone, out of the list: a model knows them by their mask',
    )
    parser.add_argument('--roles', nargs='+', choices=ROLES, default=ROLES, help='which data; by default all')
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    parser.add_argument('--workers', type=int, default=cores, help=f'processes that read; by default {cores}; 0 = none')
    parser.add_argument(
        '--out', type=Path, default=Path('bad_files.txt'), help='list to write; by default bad_files.txt'
    )
    parser.add_argument(
        '--max-seconds',
        type=float,
        default=MAX_SECONDS,
        help=f'a file that takes longer is broken; by default {MAX_SECONDS:g}',
    )


def run(arguments: argparse.Namespace) -> int:
    """Verify."""
    if arguments.workers < 0:
        raise UsageError(f'--workers must not be negative, got {arguments.workers}')
    from .reading import verify_config

    return verify_config(arguments)
