"""What omnivl export does: the model that the options name, written in the form that they name."""

import argparse
from pathlib import Path
from typing import cast

from omnivl.apis import OmniVLInferencer, export_blip, export_folder
from omnivl.apis.export import load_for_use
from omnivl.apis.export_blip import ARCHITECTURES
from omnivl.engine import ConfigError
from omnivl.engine.command_line import read_changed_config, take_model
from omnivl.engine.identity import allowed_differences, knows_itself
from omnivl.models.tasks import TrunkModel
from omnivl.weights.hub import parse_address, push
from omnivl.weights.report import grouped

from .folder import check_free, export_graphs, show
from .formats import FORMATS


def export(arguments: argparse.Namespace) -> None:
    """Write the folder, say what it holds, and upload it if that is asked for."""
    take_model(arguments)
    if arguments.push_to is not None:
        parse_address(arguments.push_to)  # a slip of the pen should not cost an export
    if arguments.format in FORMATS:
        export_as_graphs(arguments)
    else:
        export_weights(arguments)
    if arguments.push_to is not None:
        print(f'uploaded: {push(Path(arguments.out), arguments.push_to, arguments.private)}')


def export_weights(arguments: argparse.Namespace) -> None:
    """Write a folder of weights, ours or BLIP's."""
    cfg = read_changed_config(arguments)
    checkpoint = arguments.checkpoint or cfg.get('load_from')
    check_checkpoint(arguments)
    if arguments.format == 'safetensors':
        address = arguments.push_to or arguments.out
        card = dict(name=Path(address).name, address=address, licence=arguments.license)
        model = export_folder(cfg, checkpoint, arguments.out, **card)
        print(f'{type(model).__name__} written to {arguments.out}')
        return
    kind = arguments.kind or 'retrieval'
    model = load_for_use(cfg.model, checkpoint, allowed_differences(cfg))
    rest = export_blip(cast(TrunkModel, model), kind, arguments.out)
    print(f'{ARCHITECTURES[kind]} written to {arguments.out}; without a place in it:')
    print('\n'.join(f'  {line}' for line in grouped(rest)))


def export_as_graphs(arguments: argparse.Namespace) -> None:
    """Write a folder of graphs, and show how near they are to the model."""
    FORMATS[arguments.format].check_installed()
    check_free(Path(arguments.out))
    check_checkpoint(arguments)
    if arguments.checkpoint is None and not arguments.cfg_options:
        inferencer = OmniVLInferencer(arguments.config, device='cpu')
    else:
        cfg = read_changed_config(arguments)
        inferencer = OmniVLInferencer(cfg, arguments.checkpoint or cfg.get('load_from'), device='cpu')
    found = export_graphs(inferencer, arguments.format, Path(arguments.out))
    show(found)
    print(f'{type(inferencer.model).__name__} written to {arguments.out}; README.md there says how to use it')


def check_checkpoint(arguments: argparse.Namespace) -> None:
    """Raise a ``ConfigError`` for a config without weights."""
    if arguments.checkpoint is None and not knows_itself(arguments.config):
        raise ConfigError(f'the config {arguments.config} alone has no weights: name a checkpoint after it')
