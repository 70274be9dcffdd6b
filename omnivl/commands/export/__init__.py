"""Write a trained model for others: as plain files, as Hugging Face's BLIP, or as graphs that need no omnivl.

MODEL is a checkpoint, a work directory, whose last one is taken, an exported folder, or hf://owner/name; or a config
with a CHECKPOINT (or work directory) after it. The formats:

  safetensors   all of the model, with config and vocabulary, for omnivl and safetensors
  blip          the image-only parts in Hugging Face's form, see --kind
  onnx          image, video and text tower, matcher, classes, next token of captions and answers, as far as the model
                has them; each a file for onnxruntime and others
  torch_export  the same as programs of torch.export, which torch reads without omnivl

The last two compare every file with the model on sizes that it was not made with, end with an error and no folder if
one differs by more than 1e-4, and write a README.md with inputs, outputs, preprocessing and lines that work.

Examples:
    omnivl export work_dirs/pretrain_joint --out exported
    omnivl export work_dirs/pretrain_joint --out exported --push-to hf://owner/name --license apache-2.0
    omnivl export hf://Salesforce/blip-vqa-base --out exported
    omnivl export pretrain_joint work_dirs/pretrain_joint --out exported
    omnivl export work_dirs/pretrain_joint --format onnx --out graphs
    omnivl export retrieval_coco work_dirs/retrieval_coco/iter_100.pth --out blip --format blip --kind retrieval
"""

import argparse
from pathlib import Path
from typing import cast

from omnivl.apis import OmniVLInferencer, export_blip, export_folder
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
from omnivl.models.tasks import TrunkModel
from omnivl.weights.hub import parse_address, push
from omnivl.weights.report import grouped

from ..main import UsageError

GRAPH_FORMATS = ('onnx', 'torch_export')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_model_options(parser, f'a model; or {CONFIG_HELP}', 'after a config: what would otherwise stand alone')
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument(
        '--format',
        choices=('safetensors', 'blip', *GRAPH_FORMATS),
        default='safetensors',
        help='see above (default: %(default)s)',
    )
    parser.add_argument('--kind', choices=list(ARCHITECTURES), help='blip: which of its models (default: retrieval)')
    parser.add_argument('--push-to', metavar='hf://OWNER/NAME', help='repository on the hub to upload the folder to')
    parser.add_argument('--private', action='store_true', help='a repository that is made is for its owner only')
    parser.add_argument('--license', help="of the weights, for their model card, as the hub calls it ('apache-2.0')")
    add_cfg_options(parser)


def export(arguments: argparse.Namespace) -> None:
    """Write the folder, say what it holds, and upload it if that is asked for."""
    take_model(arguments)
    if arguments.push_to is not None:
        parse_address(arguments.push_to)  # a slip of the pen should not cost an export
    if arguments.format in GRAPH_FORMATS:
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
    from .folder import check_free, export_graphs, show
    from .formats import FORMATS

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


def run(arguments: argparse.Namespace) -> None:
    """Export."""
    if arguments.kind is not None and arguments.format != 'blip':
        raise UsageError(f'--kind is of --format blip, not of {arguments.format}')
    if arguments.license is not None and arguments.format != 'safetensors':
        raise UsageError(f'--license is for the model card of --format safetensors, {arguments.format} has none')
    if arguments.private and arguments.push_to is None:
        raise UsageError('--private is of --push-to')
    with one_line_errors():
        export(arguments)
