"""Encode images, videos and sounds once, and keep their features in a folder, to search in them again and again.

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

from . import infer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser)
    parser.add_argument('--out', required=True, help='folder to write')


def run(arguments: argparse.Namespace) -> None:
    """Encode and write; what could not be used is told."""
    from .infer.inference import load_inferencer, read_words, show

    read_words(arguments)
    with contextlib.redirect_stdout(sys.stderr):
        inputs = [word if '://' in word else Path(word) for word in arguments.inputs]
        gallery = load_inferencer(arguments).build_gallery(inputs, modality=arguments.modality)
        gallery.save(arguments.out)
    show([dict(index=arguments.out, entries=len(gallery)), *gallery.errors], None)
