"""Draw where a model looks for the words of a text, over an image or the frames of a clip.

What MODEL and INPUTS may be says omnivl caption --help.

Examples:
    omnivl attention exported photo.jpg --text "a dog runs"
    omnivl attention exported photo.jpg clip.mp4 --text "a dog runs" --word dog --pictures looking
"""

import argparse

from . import infer
from .options import ATTENTION_KINDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser)
    parser.add_argument('--text', action='append', help='the text whose words to look for')
    parser.add_argument('--word', action='append', help='a word to draw; by default all words of the text')
    parser.add_argument(
        '--kind', choices=ATTENTION_KINDS, default=ATTENTION_KINDS[0], help='what is drawn (default: %(default)s)'
    )
    parser.add_argument('--pictures', default='attention', help='folder to write to (default: %(default)s)')
    infer.add_output_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it and show the results."""
    infer.run(arguments, 'attention')
