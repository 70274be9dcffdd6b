"""Options that several commands share. Nothing heavy is imported, so that help and slips of the pen are told at once.

What an option may say is known further down, in modules that take seconds to import: tests/commands/test_fast_help.py
holds the names here against those.
"""

import argparse
from typing import Any

from omnivl.places import DATA_VARIABLE

ROLES = ('train', 'val', 'test')  # of the data of a config
READERS = ('timm', 'bert', 'timesformer', 'blip', 'clip', 'stage')  # of weights, that omnivl convert takes
RANDOM = 'random'  # in the place of a checkpoint: the initial weights
MAX_SECONDS = 600.0  # that omnivl verify waits for the whole of a file
LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
TRACKERS = ('tensorboard', 'wandb', 'mlflow', 'trackio', 'none')
MODALITIES = ('image', 'video', 'audio')
SEEN = ('image', 'video')  # those that a finetuning takes
ATTENTION_KINDS = ('attention', 'contrast', 'relevance')
BLIP_KINDS = ('retrieval', 'caption', 'vqa')
NAMED_WEIGHTS = (
    'blip-caption-base',
    'blip-caption-large',
    'blip-retrieval-base-coco',
    'blip-retrieval-base-flickr30k',
    'blip-vqa-base',
)
CONFIG_HELP = 'path of the config, or its name if it comes with the package (omnivl configs lists them)'
MODEL_HELP = (
    "a work directory, a checkpoint, an exported folder or one of BLIP or of open_clip's CoCa, "
    f'hf://owner/name[@revision] for such a folder on the hub, or one of {", ".join(NAMED_WEIGHTS)}'
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
        choices=TRACKERS,
        help='where curves and pictures go; may be given several times; by default those that the key track of the '
        'config lists, or else tensorboard. Projects and servers are chosen by WANDB_PROJECT, MLFLOW_TRACKING_URI, '
        'TRACKIO_PROJECT and the like; wandb sends the run to its server unless WANDB_MODE=offline',
    )
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what starts several processes')
    # Set by old versions of torch's launcher.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that reads a config: ``--data-root`` and ``--trust-code``.

    The first is put into the environment by what starts a command, the second is for ``read_config``.
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


class ChangeConfig(argparse.Action):
    """MMEngine's ``--cfg-options``, with a message for a word that is no ``KEY=VALUE``."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None) -> None:
        """Put the values, as Python reads them, into the namespace: ``{'train_cfg.max_iters': 100}``."""
        for word in values:
            if '=' not in word:
                raise argparse.ArgumentError(self, f'got {word!r}, not KEY=VALUE as in train_cfg.max_iters=100')
        from mmengine.config import DictAction

        DictAction(self.option_strings, self.dest, nargs='+')(parser, namespace, values, option)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add those of :func:`add_config_options`, and ``--cfg-options``, which ``read_changed_config`` puts in."""
    add_config_options(parser)
    parser.add_argument(
        '--cfg-options', nargs='+', action=ChangeConfig, default={}, metavar='KEY=VALUE', help='change the config'
    )


def add_model_options(parser: argparse.ArgumentParser, config: str, checkpoint: str) -> None:
    """Add the words CONFIG and CHECKPOINT, with these help texts, and ``--model``; see ``take_model``."""
    parser.add_argument('config', nargs='?', help=config)
    parser.add_argument('checkpoint', nargs='?', help=checkpoint)
    parser.add_argument('--model', help=f'in the place of the last of them: {MODEL_HELP}')
