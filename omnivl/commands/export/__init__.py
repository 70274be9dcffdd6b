"""Write a trained model for others: as plain files, as Hugging Face's BLIP, or as graphs that need no omnivl.

MODEL is a checkpoint, a work directory, whose last one is taken, or an exported folder; or a config with a CHECKPOINT
(or work directory) after it. The formats:

  safetensors   all of the model, with config and vocabulary, for omnivl and safetensors
  blip          the image-only parts in Hugging Face's form, see --kind
  onnx          image, video and text tower, matcher, classes, next token of captions and answers, as far as the model
                has them; each a file for onnxruntime and others
  torch_export  the same as programs of torch.export, which torch reads without omnivl

The last two compare every file with the model on sizes that it was not made with, end with an error and no folder if
one differs by more than 1e-4, and write a README.md with inputs, outputs, preprocessing and lines that work.

Examples:
    omnivl export work_dirs/pretrain_joint --out exported
    omnivl export pretrain_joint work_dirs/pretrain_joint --out exported
    omnivl export work_dirs/pretrain_joint --format onnx --out graphs
    omnivl export retrieval_coco work_dirs/retrieval_coco/iter_100.pth --out blip --format blip --kind retrieval
"""

import argparse
from pathlib import Path

from omnivl.apis import OmniVLInferencer, export_blip, export_folder
from omnivl.apis.export import load_for_use
from omnivl.apis.export_blip import ARCHITECTURES
from omnivl.engine import ConfigError
from omnivl.engine.command_line import CONFIG_HELP, add_cfg_options, one_line_errors, read_changed_config
from omnivl.engine.identity import allowed_differences, knows_itself
from omnivl.weights.report import grouped

from ..main import UsageError

GRAPH_FORMATS = ('onnx', 'torch_export')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', metavar='MODEL', help=f'what knows itself, see above; or {CONFIG_HELP}')
    parser.add_argument(
        'checkpoint', nargs='?', metavar='CHECKPOINT', help='after a config: what would otherwise stand alone'
    )
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument(
        '--format',
        choices=('safetensors', 'blip', *GRAPH_FORMATS),
        default='safetensors',
        help='see above (default: %(default)s)',
    )
    parser.add_argument('--kind', choices=list(ARCHITECTURES), help='blip: which of its models (default: retrieval)')
    add_cfg_options(parser)


def export(arguments: argparse.Namespace) -> None:
    """Write the folder and say what it holds."""
    if arguments.format in GRAPH_FORMATS:
        export_as_graphs(arguments)
        return
    cfg = read_changed_config(arguments)
    checkpoint = arguments.checkpoint or cfg.get('load_from')
    check_checkpoint(arguments)
    if arguments.format == 'safetensors':
        model = export_folder(cfg, checkpoint, arguments.out)
        print(f'{type(model).__name__} written to {arguments.out}')
        return
    kind = arguments.kind or 'retrieval'
    model = load_for_use(cfg.model, checkpoint, allowed_differences(cfg))
    rest = export_blip(model, kind, arguments.out)
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
    with one_line_errors():
        export(arguments)
