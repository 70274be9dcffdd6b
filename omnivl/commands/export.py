"""Write a trained model as plain files: safetensors, config, vocabulary, pixel statistics.

Examples:
    omnivl export work_dirs/pretrain_joint --out exported
    omnivl export work_dirs/pretrain_joint --out exported --push-to hf://owner/name --license apache-2.0
    omnivl export hf://Salesforce/blip-vqa-base --out exported
    omnivl export pretrain_joint work_dirs/pretrain_joint --out exported
    omnivl export retrieval_coco work_dirs/retrieval_coco/iter_100.pth --out blip --to blip --kind retrieval
"""

import argparse
from pathlib import Path

from omnivl.apis import export_blip, export_folder
from omnivl.apis.export import load_for_use
from omnivl.apis.export_blip import ARCHITECTURES
from omnivl.engine import ConfigError
from omnivl.engine.command_line import (
    CONFIG_HELP,
    add_cfg_options,
    add_model_options,
    one_line_errors,
    read_changed_config,
    take_model,
)
from omnivl.engine.identity import allowed_differences, knows_itself
from omnivl.weights.hub import parse_address, push
from omnivl.weights.report import grouped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_model_options(parser, f'a model; or {CONFIG_HELP}', 'after a config: what would otherwise stand alone')
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
    parser.add_argument('--push-to', metavar='hf://OWNER/NAME', help='repository on the hub to upload the folder to')
    parser.add_argument('--private', action='store_true', help='a repository that is made is for its owner only')
    parser.add_argument('--license', help="of the weights, for their model card, as the hub calls it ('apache-2.0')")
    add_cfg_options(parser)


def export(arguments: argparse.Namespace) -> None:
    """Write the folder and say what it holds."""
    take_model(arguments)
    if arguments.push_to is not None:
        parse_address(arguments.push_to)  # a slip of the pen should not cost an export
    cfg = read_changed_config(arguments)
    checkpoint = arguments.checkpoint or cfg.get('load_from')
    if arguments.checkpoint is None and not knows_itself(arguments.config):
        raise ConfigError(f'the config {arguments.config} alone has no weights: name a checkpoint after it')
    if arguments.to == 'omnivl':
        address = arguments.push_to or arguments.out
        card = dict(name=Path(address).name, address=address, licence=arguments.license)
        model = export_folder(cfg, checkpoint, arguments.out, **card)
        print(f'{type(model).__name__} written to {arguments.out}')
    else:
        model = load_for_use(cfg.model, checkpoint, allowed_differences(cfg))
        rest = export_blip(model, arguments.kind, arguments.out)
        print(f'{ARCHITECTURES[arguments.kind]} written to {arguments.out}; without a place in it:')
        print('\n'.join(f'  {line}' for line in grouped(rest)))
    if arguments.push_to is not None:
        print(f'uploaded: {push(Path(arguments.out), arguments.push_to, arguments.private)}')


def run(arguments: argparse.Namespace) -> None:
    """Export."""
    with one_line_errors():
        export(arguments)
