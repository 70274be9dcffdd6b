"""Say what a training takes before it is started: steps, days, memory, network, loaders and disk.

Nothing is trained and no memory is taken: a step of the config's own model, losses and optimizer is gone through on
tensors without values, and operations are those that omnivl flops counts. Items of data sets that are not here are the
published numbers; of own ones, --samples says them. Time is that of the operations at a share of the card's peak
(--mfu; 15 % is what OpenCLIP reached with ViT-B/16 on 344 A100), or what steps were measured to take (--measured).
A config that only tests is planned as one pass over its data.

Examples:
    omnivl plan pretrain_joint --gpus 64 --gpu a100-80
    omnivl plan pretrain_joint --gpus 64 --gpu h100 a100-80 a100-40 l40s --mfu 0.15 0.2 0.3
    omnivl plan caption_coco --gpus 1 --gpu 4090 --measured image=1.9 --json
    omnivl plan caption_coco --gpu h100 --memory-gb 94 --tflops 835
"""

import argparse
import json
import math

from ..main import UsageError
from ..options import CONFIG_HELP, add_cfg_options
from .gpus import NAMES
from .options import numbers_of

# OpenCLIP's ViT-B/16 on 344 A100, 390 samples/s each (docs/guides/plan_run.md).
DEFAULT_MFU = 0.15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help=CONFIG_HELP)
    add_cfg_options(parser)
    parser.add_argument('--gpus', type=int, default=1, metavar='N', help='number of GPUs; default 1')
    parser.add_argument(
        '--gpu',
        nargs='+',
        choices=NAMES,
        default=['h100'],
        metavar='CARD',
        help=f'which: {", ".join(NAMES)}; several are compared; default h100',
    )
    parser.add_argument('--gpus-per-node', type=int, default=8, metavar='N', help='GPUs of one machine; default 8')
    parser.add_argument('--memory-gb', type=float, metavar='GB', help='memory of the card, instead of the table')
    parser.add_argument('--tflops', type=float, metavar='T', help='peak of the card, instead of the table')
    parser.add_argument(
        '--margin', type=float, default=0.1, help='share of the memory that is to stay free; default 0.1'
    )
    parser.add_argument(
        '--mfu',
        type=float,
        nargs='+',
        default=[DEFAULT_MFU],
        metavar='SHARE',
        help=f'share of the peak that a step reaches, one or several; default {DEFAULT_MFU}',
    )
    parser.add_argument(
        '--measured',
        nargs='+',
        default=[],
        metavar='TASK=SECONDS',
        help='time of a step of each task on one card, or the work directory of a run with one process and the same '
        'batch size; instead of --mfu',
    )
    parser.add_argument(
        '--samples', nargs='+', default=[], metavar='NAME=NUMBER', help='items of a data set, which need not be here'
    )
    parser.add_argument(
        '--file-kb',
        nargs='+',
        default=[],
        metavar='NAME=KB',
        help='mean size of the files of a data set or of a modality that are not here, in 1000 bytes',
    )
    parser.add_argument('--frames', type=int, help='frames of a clip; by default those of the config')
    parser.add_argument('--size', type=int, help='side of a picture in pixels; by default that of the config')
    parser.add_argument('--words', type=int, help='word pieces of a text; by default the most that the config allows')
    parser.add_argument('--json', action='store_true', help='print JSON: bytes, seconds and operations')


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse values that nothing can have, and turn NAME=NUMBER into dicts."""
    for name, least in (('gpus', 1), ('gpus_per_node', 1), ('frames', 1), ('size', 1), ('words', 2)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UsageError(f'--{name.replace("_", "-")} must be at least {least}, got {value}')
    for name in ('memory_gb', 'tflops'):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f'--{name.replace("_", "-")} must be above 0, got {value:g}')
    if not 0 <= arguments.margin < 1:
        raise UsageError(f'--margin must be in [0, 1), got {arguments.margin:g}')
    if wrong := [share for share in arguments.mfu if not 0 < share <= 1]:
        raise UsageError(f'--mfu is a share of the peak in (0, 1], got {wrong[0]:g}')
    arguments.samples = numbers_of(arguments.samples, 'samples')
    arguments.file_kb = numbers_of(arguments.file_kb, 'file-kb')


def run(arguments: argparse.Namespace) -> None:
    """Plan and print."""
    from .planning import make_plan
    from .report import show

    check_arguments(arguments)
    plan = make_plan(arguments)
    print(json.dumps(plan) if arguments.json else show(plan))
