"""Write a trained model as plain files: safetensors, config, vocabulary, pixel statistics.

Examples:
    omnivl export work_dirs/pretrain_joint --out exported
    omnivl export pretrain_joint work_dirs/pretrain_joint --out exported
    omnivl export retrieval_coco work_dirs/retrieval_coco/iter_100.pth --out blip --to blip --kind retrieval
"""

import argparse
from typing import cast

from omnivl.apis import export_blip, export_folder
from omnivl.apis.export import load_for_use
from omnivl.apis.export_blip import ARCHITECTURES
from omnivl.engine import ConfigError
from omnivl.engine.command_line import CONFIG_HELP, add_cfg_options, one_line_errors, read_changed_config
from omnivl.engine.identity import allowed_differences, knows_itself
from omnivl.models.tasks import TrunkModel
from omnivl.weights.report import grouped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help=f'a checkpoint, or a work directory, whose last one is taken; or {CONFIG_HELP}')
    parser.add_argument('checkpoint', nargs='?', help='after a config: what would otherwise stand alone')
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument(
        '--to',
        choices=('omnivl', 'blip'),
        default='omnivl',
        help="omnivl: all of the model, for omnivl.apis; blip: the image-only parts in Hugging Face's form",
    )
    parser.add_argument(
        '--kind', choices=list(ARCHITECTURES), default='retrieval', help="which of Hugging Face's BLIP models"
    )
    add_cfg_options(parser)


def export(arguments: argparse.Namespace) -> None:
    """Write the folder and say what it holds."""
    cfg = read_changed_config(arguments)
    checkpoint = arguments.checkpoint or cfg.get('load_from')
    if arguments.checkpoint is None and not knows_itself(arguments.config):
        raise ConfigError(f'the config {arguments.config} alone has no weights: name a checkpoint after it')
    if arguments.to == 'omnivl':
        model = export_folder(cfg, checkpoint, arguments.out)
        print(f'{type(model).__name__} written to {arguments.out}')
        return
    model = load_for_use(cfg.model, checkpoint, allowed_differences(cfg))
    rest = export_blip(cast(TrunkModel, model), arguments.kind, arguments.out)
    print(f'{ARCHITECTURES[arguments.kind]} written to {arguments.out}; without a place in it:')
    print('\n'.join(f'  {line}' for line in grouped(rest)))


def run(arguments: argparse.Namespace) -> None:
    """Export."""
    with one_line_errors():
        export(arguments)
