"""The command line of the tools that make a corpus: one option for each parameter of it."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

from omnivl.errors import OmniVLError

from .manifest import Parameters


def make_corpus(
    description: str,
    out: str,
    helps: Mapping[str, str],
    smoke: Parameters,
    write: Callable[..., bool],
) -> None:
    """Read the command line and make the corpus, or say that it is there; ends the program where that fails.

    Args:
        description: Of the command, with examples.
        out: The folder where none is given.
        helps: Parameter -> what it is.
        smoke: Parameters of a corpus for tests of the machinery; its class has the usual ones.
        write: Takes the folder, parameters, ``processes`` and ``lines_every``; returns whether it had to write.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path(out), help='folder of the corpus (%(default)s)')
    parser.add_argument('--smoke', action='store_true', help='fewer than 200 files, for tests of the machinery')
    parser.add_argument('--processes', type=int, default=min(2, os.cpu_count() or 1), help='(%(default)s)')
    usual = type(smoke)()
    for field in fields(usual):
        note = f'{helps[field.name]} ({field.default})'
        parser.add_argument(f'--{field.name.replace("_", "-")}', type=int, default=None, help=note)
    args = parser.parse_args()
    given = {field.name: getattr(args, field.name) for field in fields(usual)}
    given = {name: value for name, value in given.items() if value is not None}
    start = time.monotonic()
    try:
        parameters = replace(smoke if args.smoke else usual, **given)
        written = write(args.out, parameters, processes=args.processes, lines_every=10)
    except (OmniVLError, OSError, ImportError) as error:
        sys.exit(f'{Path(sys.argv[0]).stem}: {error}')
    seconds = time.monotonic() - start
    print(f'{args.out}: written in {seconds:.0f} s' if written else f'{args.out}: there already, whole and unchanged')
