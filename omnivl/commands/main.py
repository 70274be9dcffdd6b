"""``omnivl NAME ...``: find a command, read its options, run it. Nothing heavy is imported before it is needed."""

import argparse
import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from omnivl.errors import OmniVLValueError
from omnivl.places import DATA_VARIABLE
from omnivl.version import __version__

from .errors import one_line_errors
from .table import COMMANDS, DOORS, GROUPS


class UsageError(OmniVLValueError):
    """An option has a value that it cannot have; shown as argparse shows its own errors."""


def main(words: Sequence[str] | None = None) -> None:
    """Do what a command line says; ``words`` are those after ``omnivl``, None = those of this process."""
    name, *rest = (sys.argv[1:] if words is None else list(words)) or ['--help']
    if name in ('-h', '--help'):
        print(overview())
    elif name in ('-V', '--version'):
        print(f'omnivl {__version__}')
    elif name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        meant = f', did you mean {near[0]!r}?' if near else ','
        print(f'error: there is no command {name!r}{meant} omnivl --help lists all', file=sys.stderr)
        sys.exit(2)
    else:
        run_command(name, rest)


def overview() -> str:
    """Return the text of ``omnivl --help``."""
    width = max(map(len, COMMANDS))
    lines = ['usage: omnivl COMMAND ...', '', 'One model for images and videos with language.']
    for group, commands in GROUPS.items():
        lines += ['', f'{group}:', *(f'  {name:{width}}  {line}' for name, line in commands.items())]
    lines += ['', 'omnivl COMMAND --help explains one, with examples; omnivl --version tells the version.']
    return '\n'.join(lines)


def run_command(name: str, words: Sequence[str] | None = None) -> None:
    """Run one command; ``words`` are its arguments, None = those of this process, which a file of tools/ has begun.

    A value that an option cannot have ends with code 2 and the usage, another error that a person can mend with code 1
    and one line.
    """
    module = importlib.import_module(f'{__package__}.{name}')
    parser = make_parser(module, None if words is None else f'omnivl {name}')
    arguments = parser.parse_intermixed_args(words)
    # For the configs that are read from here on, in processes that are started too.
    if getattr(arguments, 'data_root', None) is not None:
        os.environ[DATA_VARIABLE] = os.path.abspath(arguments.data_root)
    try:
        with one_line_errors():
            try:
                code = module.run(arguments)
            except UsageError as error:
                parser.error(str(error))
    except SystemExit as end:  # the library speaks of commands
        sys.exit(as_called(end.code) if isinstance(end.code, str) else end.code)
    if code:
        sys.exit(code)


def make_parser(module: ModuleType, prog: str | None = None) -> argparse.ArgumentParser:
    """Make the parser of a command: what it does, its options, its examples."""
    text = as_called(inspect.cleandoc(module.__doc__ or ''))
    description, heading, examples = text.partition('\nExamples:\n')
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description.strip(),
        epilog=(heading + examples).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def as_called(text: str) -> str:
    """Put the names of the files of tools/ for those of commands, if that is how this process was started."""
    if Path(sys.argv[0]).name not in (*DOORS.values(), 'infer.py'):
        return text
    return re.sub(
        r'\bomnivl (\w+)', lambda found: f'python tools/{DOORS[found[1]]}' if found[1] in DOORS else found[0], text
    )
