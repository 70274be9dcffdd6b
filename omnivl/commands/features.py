"""Print the features of images, videos and sounds: unit vectors of the space that they share with texts.

What MODEL and INPUTS may be says omnivl caption --help.

Examples:
    omnivl features exported clip.mp4 --out features.json
    omnivl features work_dirs/pretrain_joint photos/
"""

import argparse

from . import infer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser)
    infer.add_output_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it and show the results."""
    infer.run(arguments, 'features')
