"""What ends a command with one line; nothing heavy is imported, as every command begins with it."""

import argparse
import contextlib
import difflib
import functools
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator

from omnivl.errors import OmniVLError

# What the system says of a path of the wrong kind, which a person gave, mostly to write something there.
WRONG_PLACES = (IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError)
ADVICE = (
    'is a folder: give the path of a file',
    'is below a file: give a path below a folder',
    'is a file: give a folder, or another name',
    'may not be read or written: give another place, or change its permissions',
)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End the command with one line, and without a traceback, where a person has to change something.

    That is what an ``OmniVLError`` is for, and a config that cannot be built. All other errors are the code's.
    ``log_level='DEBUG'`` in the config shows the traceback too.
    """
    try:
        yield
    except (OmniVLError, *WRONG_PLACES) as error:
        _end_with(message_of(error))
    except (ImportError, KeyError, TypeError) as error:
        if not _is_of_config(error):
            raise
        _end_with(f'the config cannot be built: {_shortened(str(error.args[0]))}')


def with_exit_code(work: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Give a command that looks for faults codes that tell them from its own: 0 = none, 1 = some are found.

    2 = it cannot do its work, which is told in one line; 130 = it was interrupted, and goes on when it is run again.
    """

    @functools.wraps(work)
    def run(arguments: argparse.Namespace) -> int:
        """Do the work, and return the code."""
        try:
            return work(arguments)
        except (OmniVLError, *WRONG_PLACES) as error:
            print(f'error: {message_of(error)}', file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print('\ninterrupted; the same command goes on from here', file=sys.stderr)
            return 130

    return run


def message_of(error: OmniVLError | OSError) -> str:
    """Return what an error says, without the traceback of a loader's worker that torch puts before it."""
    kind = type(error)
    if not isinstance(error, OmniVLError):
        said = next(advice for place, advice in zip(WRONG_PLACES, ADVICE) if isinstance(error, place))
        return f'{error.filename2 or error.filename} {said}'
    return str(error).rpartition(f'\n{kind.__module__}.{kind.__qualname__}: ')[2].strip()


def _shortened(message: str) -> str:
    """Cut MMEngine's advice off what it says of an unknown component, and add the name that was probably meant."""
    unknown = re.match(r'(\S+) is not in the \S+ registry', message)
    if unknown is None:
        return message
    from mmengine.registry import Registry

    import omnivl.registry

    registries = [one for one in vars(omnivl.registry).values() if isinstance(one, Registry)]
    near = difflib.get_close_matches(unknown[1], {name for one in registries for name in one.module_dict}, n=1)
    return f'{unknown[0]}; ' + (f'did you mean {near[0]!r}?' if near else 'is its module in custom_imports?')


def _is_of_config(error: Exception) -> bool:
    """Whether a component was not found, cannot be imported, or was called without an argument that it needs."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get('__name__') in ('mmengine.registry.build_functions', 'mmengine.config.lazy')


def _end_with(message: str) -> None:
    if 'mmengine.logging' in sys.modules:  # otherwise there is no log yet
        from mmengine.logging import print_log

        print_log(traceback.format_exc(), logger='current', level=logging.DEBUG)
    sys.exit(f'error: {message}')
