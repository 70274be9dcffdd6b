"""Find the images, videos and sounds that fit a text, a picture, a clip or a sound best.

To search in the same files again, make an index of them: omnivl index, then omnivl search. What MODEL and INPUTS may be
says omnivl caption --help.

Examples:
    omnivl retrieve exported photos/ --text "a dog on the beach" -k 3 --rerank 16
    omnivl retrieve exported photos/ clips/ --query sketch.png
"""

import argparse

from . import infer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser)
    infer.add_search_options(parser)
    parser.add_argument('--index', help='folder to save the features of the inputs in, for omnivl search')
    infer.add_output_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it and show the results."""
    infer.run(arguments, 'retrieve')
