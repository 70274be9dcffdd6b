"""Search in an index that omnivl index has written, with texts, images, videos or sounds.

MODEL (omnivl caption --help says what it may be) is the one that the index was made with.

Examples:
    omnivl search exported photos.index --text "a dog on the beach"
    omnivl search exported photos.index --query sketch.png -k 3 --out found.json
"""

import argparse

from . import infer
from .main import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser, 'INDEX')
    infer.add_search_options(parser)
    infer.add_output_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Search and show what is found."""
    from omnivl.apis.gallery import is_index

    from .infer.inference import do_and_show, read_words

    read_words(arguments)
    if len(arguments.inputs) != 1 or not is_index(arguments.inputs[0]):
        raise UsageError(f'{", ".join(arguments.inputs)}: that is not one index; omnivl index makes one')
    arguments.task = 'retrieve'
    do_and_show(arguments)
