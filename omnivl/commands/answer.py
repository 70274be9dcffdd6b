"""Answer questions about images and videos, freely or by choosing from given answers.

The model must be one for answering questions (configs vqa_v2, msrvtt_qa, msvd_qa). What MODEL and INPUTS may be says
omnivl caption --help.

Examples:
    omnivl answer exported photo.jpg --text "how many dogs are there?"
    omnivl answer work_dirs/vqa_v2 photos/ --text "is it raining?" --answers yes --answers no
"""

import argparse

from . import infer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser)
    parser.add_argument('--text', action='append', help='a question; may be given several times')
    parser.add_argument('--answers', action='append', help='an answer to choose from; may be given several times')
    infer.add_output_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it and show the results."""
    infer.run(arguments, 'answer')
