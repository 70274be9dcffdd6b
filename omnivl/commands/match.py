"""Say how well texts fit images and videos, by the alignment decoder.

Each result has the probability of a match and the similarity of the features. What MODEL and INPUTS may be says
omnivl caption --help.

Examples:
    omnivl match exported photo.jpg clip.mp4 --text "a dog runs" --text "a cat sleeps"
    omnivl match work_dirs/retrieval_coco photos/ --text "a dog on the beach"
"""

import argparse

from . import infer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser)
    parser.add_argument('--text', action='append', help='a text to hold against the inputs; several times')
    infer.add_output_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it and show the results."""
    infer.run(arguments, 'match')
