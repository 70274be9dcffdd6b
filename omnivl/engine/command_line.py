"""What the commands that run a config share: their options, the runner, and errors that end with one line."""

import argparse
import contextlib
import difflib
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.registry import Registry
from mmengine.runner import Runner

import omnivl.registry
from omnivl.errors import OmniVLError
from omnivl.places import DATA_VARIABLE
from omnivl.registry import RUNNERS
from omnivl.storage.files import telling_no_room
from omnivl.weights.names import NAMED

from .config import ConfigError, apply_options, read_config
from .distributed import LAUNCHERS
from .identity import knows_itself, own_config
from .runner import OmniVLRunner
from .threads import choose_threads
from .tracking import NOTHING, TRACKERS, track_with

CONFIG_HELP = 'path of the config, or its name if it comes with the package (omnivl configs lists them)'
MODEL_HELP = (
    'a work directory, a checkpoint, a folder that omnivl export wrote or one of BLIP, hf://owner/name[@revision] for '
    f'such a folder on the hub, or one of {", ".join(NAMED)}'
)
# What the system says of a path of the wrong kind, which a person gave, mostly to write something there.
WRONG_PLACES = (IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError)
ADVICE = (
    'is a folder: give the path of a file',
    'is below a file: give a path below a folder',
    'is a file: give a folder, or another name',
    'may not be read or written: give another place, or change its permissions',
)


def add_run_options(parser: argparse.ArgumentParser, results: str, work_dir: str) -> None:
    """Add the options of every command that runs a config.

    ``results`` says what the work directory holds, ``work_dir`` which one it is by default, both for its help.
    """
    parser.add_argument('--work-dir', help=f'folder of {results}; by default {work_dir}')
    add_cfg_options(parser)
    parser.add_argument(
        '--track',
        action='append',
        choices=(*TRACKERS, NOTHING),
        help='where curves and pictures go; may be given several times; by default those that the key track of the '
        'config lists, or else tensorboard. Projects and servers are chosen by WANDB_PROJECT, MLFLOW_TRACKING_URI, '
        'TRACKIO_PROJECT and the like; wandb sends the run to its server unless WANDB_MODE=offline',
    )
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what starts several processes')
    # Set by old versions of torch's launcher.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that reads a config: ``--data-root`` and ``--trust-code``.

    The first is put into the environment by what starts a command, the second is for :func:`read_config`.
    """
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help=f"folder that data/ of the config's paths stands for; by default that of the variable {DATA_VARIABLE}, or "
        'data in the current folder',
    )
    parser.add_argument(
        '--trust-code',
        action='store_true',
        help='let a JSON or YAML config import and call whatever it names, as a Python config may',
    )


class _Options(DictAction):
    """MMEngine's ``--cfg-options``, with a message for a word that is no ``KEY=VALUE``."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None) -> None:
        for word in values:
            if '=' not in word:
                raise argparse.ArgumentError(self, f'got {word!r}, not KEY=VALUE as in train_cfg.max_iters=100')
        super().__call__(parser, namespace, values, option)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add those of :func:`add_config_options`, and ``--cfg-options``, which :func:`read_changed_config` puts in."""
    add_config_options(parser)
    parser.add_argument(
        '--cfg-options', nargs='+', action=_Options, default={}, metavar='KEY=VALUE', help='change the config'
    )


def add_model_options(parser: argparse.ArgumentParser, config: str, checkpoint: str) -> None:
    """Add the words CONFIG and CHECKPOINT, with these help texts, and ``--model``; see :func:`take_model`."""
    parser.add_argument('config', nargs='?', help=config)
    parser.add_argument('checkpoint', nargs='?', help=checkpoint)
    parser.add_argument('--model', help=f'in the place of the last of them: {MODEL_HELP}')


def take_model(arguments: argparse.Namespace) -> None:
    """Put ``--model`` where the word in its place would stand; a ConfigError if there is none, or one too many."""
    if arguments.model is not None:
        if arguments.checkpoint is not None:
            raise ConfigError(f'--model {arguments.model} and the checkpoint {arguments.checkpoint}: give one of them')
        place = 'config' if arguments.config is None else 'checkpoint'
        setattr(arguments, place, arguments.model)
    if arguments.config is None:
        raise ConfigError(
            'which model? Name one (a work directory, a checkpoint, a folder, hf://owner/name), or a config'
        )


def read_changed_config(arguments: argparse.Namespace) -> Config:
    """Read the config that the options ``config`` and ``cfg_options`` of a command describe.

    ``config`` may also be a checkpoint, or a work directory, that carries its config; it is data, never code.
    """
    if knows_itself(arguments.config):
        cfg = own_config(arguments.config)[0]
        apply_options(cfg, arguments.cfg_options)
        return cfg
    return read_config(arguments.config, arguments.trust_code, arguments.cfg_options)


def read_run_config(arguments: argparse.Namespace) -> Config:
    """Read the config, with the options of :func:`add_run_options`; its ``work_dir`` is that of a training."""
    cfg = read_changed_config(arguments)
    cfg.launcher = arguments.launcher
    cfg.work_dir = arguments.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(arguments.config).stem}'
    of_config = cfg.pop('track', None)  # the visualizer that it stands for is in the config of the run
    if arguments.track is not None:
        track_with(cfg, arguments.track)
    elif of_config is not None:
        track_with(cfg, of_config, 'track of the config:')
    return cfg


def is_test_only(cfg: Config) -> bool:
    """Whether a config has nothing to train, such as those of zero-shot evaluation and of probes."""
    return cfg.get('train_dataloader') is None


def build_runner(cfg: Config, note: str | None) -> Runner:
    """Build the runner that the config names, by default ``OmniVLRunner``, and make its work directory.

    The log begins with ``note``, if there is one.
    """
    try:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'the work directory cannot be made: {error}') from error
    runner_type = cfg.get('runner_type', OmniVLRunner)
    runner_type = RUNNERS.get(runner_type) if isinstance(runner_type, str) else runner_type
    with telling_no_room(Path(cfg.work_dir)):
        runner = runner_type.from_cfg(cfg)
    for line in (note, choose_threads(runner.model)):
        if line is not None:
            runner.logger.info(line)
    return runner


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End the command with one line, and without a traceback, where a person has to change something.

    That is what an ``OmniVLError`` is for, and a config that cannot be built. All other errors are the code's.
    ``log_level='DEBUG'`` in the config shows the traceback too.
    """
    try:
        yield
    except OmniVLError as error:
        _end_with(message_of(error))
    except WRONG_PLACES as error:
        _end_with(message_of(error))
    except (ImportError, KeyError, TypeError) as error:
        if not _is_of_config(error):
            raise
        _end_with(f'the config cannot be built: {_shortened(str(error.args[0]))}')


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
    registries = [one for one in vars(omnivl.registry).values() if isinstance(one, Registry)]
    near = difflib.get_close_matches(unknown[1], {name for one in registries for name in one.module_dict}, n=1)
    return f'{unknown[0]}; ' + (f'did you mean {near[0]!r}?' if near else 'is its module in custom_imports?')


def _is_of_config(error: Exception) -> bool:
    """Whether a component was not found, cannot be imported, or was called without an argument that it needs."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get('__name__') in ('mmengine.registry.build_functions', 'mmengine.config.lazy')


def _end_with(message: str) -> None:
    print_log(traceback.format_exc(), logger='current', level=logging.DEBUG)
    sys.exit(f'error: {message}')
