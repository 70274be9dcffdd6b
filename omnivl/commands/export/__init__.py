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

from ..main import UsageError
from ..options import BLIP_KINDS, CONFIG_HELP, add_cfg_options, add_model_options

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
    parser.add_argument('--kind', choices=BLIP_KINDS, help='blip: which of its models (default: retrieval)')
    parser.add_argument('--push-to', metavar='hf://OWNER/NAME', help='repository on the hub to upload the folder to')
    parser.add_argument('--private', action='store_true', help='a repository that is made is for its owner only')
    parser.add_argument('--license', help="of the weights, for their model card, as the hub calls it ('apache-2.0')")
    add_cfg_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Export."""
    if arguments.kind is not None and arguments.format != 'blip':
        raise UsageError(f'--kind is of --format blip, not of {arguments.format}')
    if arguments.license is not None and arguments.format != 'safetensors':
        raise UsageError(f'--license is for the model card of --format safetensors, {arguments.format} has none')
    if arguments.private and arguments.push_to is None:
        raise UsageError('--private is of --push-to')
    from .exporting import export

    export(arguments)
