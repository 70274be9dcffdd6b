"""Fill the model of a config with weights of other libraries, and write a checkpoint; every key is accounted for.

Examples:
    omnivl convert --from blip BLIP.safetensors --config pretrain_joint_from_blip --out blip.pth
    omnivl convert --from blip blip-caption-base --out caption.pth
    omnivl convert --from timm vit.safetensors --from bert bert.safetensors --config pretrain_image --out start.pth
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from omnivl.engine.command_line import CONFIG_HELP, add_cfg_options, one_line_errors, read_changed_config
from omnivl.engine.identity import describe, is_model_folder
from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS, WEIGHT_READERS
from omnivl.storage import save_checkpoint
from omnivl.storage.checkpoint import save_weights
from omnivl.version import __version__
from omnivl.weights import load_weights
from omnivl.weights.facts import KEY
from omnivl.weights.names import find_model

READERS = ('timm', 'bert', 'timesformer', 'blip', 'clip', 'stage')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        '--from',
        dest='sources',
        nargs=2,
        action='append',
        required=True,
        metavar=('NAME', 'PATH'),
        help=f'what and where: NAME is one of {", ".join(READERS)}, or a reader of the project of the config; PATH a '
        'file, a folder of save_pretrained, hf://owner/name[@revision][/file] or a name of weights. Several times: in '
        'this order',
    )
    parser.add_argument('--config', help=f"{CONFIG_HELP}; weights of ours (stage) and BLIP's folders have one")
    parser.add_argument('--out', required=True, help='the checkpoint to write (.pth or .safetensors)')
    parser.add_argument(
        '--allow',
        nargs='+',
        default=[],
        metavar='PATTERN',
        help='keys that may be unused or left at their initial value, and settings that may differ',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the values that are not filled')
    add_cfg_options(parser)


def convert(arguments: argparse.Namespace) -> None:
    """Build the model, fill it, write it; a table per source says what became of every key."""
    out = Path(arguments.out)
    if out.suffix not in ('.pth', '.safetensors'):
        raise OmniVLValueError(f'--out must end in .pth or .safetensors, got {out}')
    if arguments.config is None:
        own = [path for name, path in arguments.sources if name == 'stage' or is_model_folder(find_model(path))]
        if not own:
            raise OmniVLValueError('weights of others do not say which model they are for: give --config')
        arguments.config = own[0]
    cfg = read_changed_config(arguments)  # a config of a project imports the readers of that project
    for name, _ in arguments.sources:
        if WEIGHT_READERS.get(name) is None:
            raise OmniVLValueError(
                f'--from {name}: there is no such reader, there are {", ".join(READERS)}, and those of the project of '
                'the config'
            )
    sources = [dict(type=name, file=path, allow=arguments.allow) for name, path in arguments.sources]
    torch.manual_seed(arguments.seed)
    model = MODELS.build(cfg.model)
    reports = load_weights(model, sources, show=print)
    out.parent.mkdir(parents=True, exist_ok=True)
    weights = model.state_dict()
    meta: dict[str, Any] = dict(omnivl_version=__version__, sources=[report.source for report in reports])
    meta[KEY] = describe(cfg, model)
    if out.suffix == '.pth':
        save_checkpoint(dict(state_dict=weights, meta=meta), out)
    else:
        # Every name of a shared tensor gets values of its own: the format has no sharing.
        save_weights({key: value.clone() for key, value in weights.items()}, out, meta)
    print(f'written to {out}')


def run(arguments: argparse.Namespace) -> None:
    """Convert."""
    with one_line_errors():
        convert(arguments)
