"""What the commands that run a config share: from their options to the config and the runner."""

import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from omnivl.places import find_config, nearest_configs
from omnivl.registry import RUNNERS
from omnivl.storage.files import telling_no_room

from .config import ConfigError, apply_options, read_config
from .data_config import SUFFIXES
from .identity import WEIGHTS, knows_itself, own_config
from .runner import OmniVLRunner
from .threads import choose_threads
from .tracking import track_with


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
    check_model(arguments.config)


def check_model(word: str) -> None:
    """Raise a ConfigError for a word that stands for no model: neither weights, by path or name, nor a config."""
    if knows_itself(word):
        return
    path = find_config(word)
    if path.is_file() and path.suffix in ('.py', *SUFFIXES):
        return
    near = nearest_configs(word)
    meant = f', did you mean the config {" or ".join(near)}' if near else ''
    what = f'{word} is neither weights nor a config' if path.is_file() else f'there is no model or config {word}'
    raise ConfigError(
        f'{what}{meant}{"?" if meant else ":"} A model is a work directory, a checkpoint ({", ".join(WEIGHTS)}), an '
        'exported folder, hf://owner/name, or a config with a checkpoint after it (omnivl configs lists configs)'
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
    """Read the config, with the options of ``omnivl train``; its ``work_dir`` is that of a training."""
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
