"""Say which class images, videos and sounds are of.

A classifier has classes of its own; any other model compares the inputs with the names that are given (zero-shot). What
MODEL and INPUTS may be says omnivl caption --help; sounds are for models that hear, and a video is its sound with
--modality audio.

Examples:
    omnivl classify exported photos/ --text dog --text cat --templates "a photo of a {}"
    omnivl classify exported_classifier photos/ -k 3
    omnivl classify work_dirs/vatt bark.wav clip.mp4 --modality audio --text dog --text cat
"""

import argparse

from . import infer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser)
    parser.add_argument('--text', action='append', help='name of a class; several times; a classifier has its own')
    parser.add_argument('--templates', action='append', help='a sentence with {}, or the name of a set')
    parser.add_argument('-k', type=int, default=5, help='classes shown for each (default: 5)')
    infer.add_output_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it and show the results."""
    infer.run(arguments, 'classify')
