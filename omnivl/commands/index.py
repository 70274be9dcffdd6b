"""Encode images and videos once, and keep their features in a folder, to search in them again and again.

What MODEL and INPUTS may be says omnivl caption --help. The index is bound to the model and to the files: if one of
them changes, a search in it is refused.

Examples:
    omnivl index exported photos/ clips/ --out photos.index
    omnivl index work_dirs/pretrain_joint photos/ --out photos.index --device cuda:0
"""

import argparse
import contextlib
import sys
from pathlib import Path

from omnivl.engine.command_line import one_line_errors

from . import infer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser)
    parser.add_argument('--out', required=True, help='folder to write')


def run(arguments: argparse.Namespace) -> None:
    """Encode and write; what could not be used is told."""
    infer.read_words(arguments)
    with one_line_errors(), contextlib.redirect_stdout(sys.stderr):
        inputs = [word if '://' in word else Path(word) for word in arguments.inputs]
        gallery = infer.load_inferencer(arguments).build_gallery(inputs, modality=arguments.modality)
        gallery.save(arguments.out)
    infer.show([dict(index=arguments.out, entries=len(gallery)), *gallery.errors], None)
