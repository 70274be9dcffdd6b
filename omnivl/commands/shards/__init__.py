"""Write the index of shards, tar files of img2dataset, video2dataset or webdataset, so that trainings read them.

Headers are read once, and the texts and the JSON beside pictures and clips. The index goes into a config as a list of
any other dialect does: annotations=dict(type='ShardIndex', ann_file='data/cc12m/index.npz'). What is wrong with a shard
is counted and told; what can be read of it is in the index. An interrupted run goes on where it was when it is started
again. Exit code: 0 all shards are whole, 1 some are not, 2 another error.

Examples:
    omnivl shards data/cc12m
    omnivl shards 'data/cc12m/{00000..01242}.tar' --out data/cc12m/index.npz --checksums
    omnivl shards 's3://bucket/webvid/{00000..00999}.tar' --out data/webvid/index.npz
"""

import argparse
import os
from pathlib import Path

from ..main import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        'shards', nargs='+', help='folders of tar files, tar files or their URLs, with {000..123} for numbered ones'
    )
    parser.add_argument('--out', type=Path, help='the index; by default index.npz in the folder of the shards')
    parser.add_argument(
        '--checksums',
        action='store_true',
        help='read pictures and clips as well, for the checksums by which a training knows damaged ones',
    )
    add_workers(parser)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the number of processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    parser.add_argument('--workers', type=int, default=cores, help=f'processes; by default {cores}; 0 = none')


def run(arguments: argparse.Namespace) -> int:
    """Write the index."""
    if arguments.workers < 0:
        raise UsageError(f'--workers must not be negative, got {arguments.workers}')
    from .indexing import run_indexing

    return run_indexing(arguments)
