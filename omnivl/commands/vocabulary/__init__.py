"""Make a word-piece vocabulary (BERT's vocab.txt) from training captions.

Examples:
    omnivl vocabulary --captions captions.txt more.txt --out vocab.txt --size 30522
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        '--captions', nargs='+', type=Path, required=True, help='text files with one caption per line, UTF-8'
    )
    parser.add_argument('--out', type=Path, required=True, help='the vocab.txt to write')
    parser.add_argument('--size', type=int, default=1000, help='most lines of the vocabulary (BERT has 30522)')
    parser.add_argument('--cased', action='store_true', help='keep upper case and accents')


def run(arguments: argparse.Namespace) -> None:
    """Train and write."""
    from .learning import learn

    learn(arguments)
