"""Draw what a model really gets: samples of a config after all transforms, with their text, label and target id.

The frames are those of the batch, 8-bit pixels before the one normalisation in the data preprocessor; the text is
decoded back from the word-piece ids, so what was cut off or unknown is missing here too.

Examples:
    omnivl browse pretrain_joint --out sheet.png
    omnivl browse pretrain_joint --loader video --number 8
    omnivl browse pretrain_joint --loader image --number 6 --epochs 5
    omnivl browse pretrain_joint --role test --loader image.retrieval
"""

import argparse
from pathlib import Path

from ..main import UsageError
from ..options import CONFIG_HELP, ROLES, add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help=CONFIG_HELP)
    add_config_options(parser)
    parser.add_argument('--role', choices=ROLES, default='train', help='which of the data; by default train')
    parser.add_argument('--loader', metavar='NAME', help='one loader of that role, as image; by default all of them')
    parser.add_argument('--number', type=int, default=24, help='samples in all; by default 24')
    parser.add_argument('--epochs', type=int, default=1, help='show each sample as it is in so many epochs')
    parser.add_argument('--seed', type=int, default=0, help='another seed shows other samples')
    parser.add_argument('--height', type=int, default=128, help='height of a frame on the sheet, in pixels')
    parser.add_argument('--out', type=Path, default=Path('sheet.png'), help='picture to write; by default sheet.png')


def run(arguments: argparse.Namespace) -> None:
    """Draw and write."""
    for name in ('number', 'epochs', 'height'):
        if getattr(arguments, name) < 1:
            raise UsageError(f'--{name} must be at least 1, got {getattr(arguments, name)}')
    from .sheet import draw

    draw(arguments)
