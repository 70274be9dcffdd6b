"""Make a checkpoint of other libraries' weights: ``convert_weights.py --from blip PATH --config ... --out FILE``."""

import argparse
from pathlib import Path

import torch

from omnivl.engine.command_line import add_cfg_options, one_line_errors, read_changed_config
from omnivl.engine.identity import describe
from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS, WEIGHT_READERS
from omnivl.storage import save_checkpoint
from omnivl.storage.checkpoint import save_weights
from omnivl.version import __version__
from omnivl.weights import load_weights
from omnivl.weights.facts import KEY

READERS = ('timm', 'bert', 'timesformer', 'blip', 'clip', 'stage')


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or ``arguments`` instead of it."""
    parser = argparse.ArgumentParser(description='Fill the model of a config with weights of other libraries.')
    parser.add_argument(
        '--from',
        dest='sources',
        nargs=2,
        action='append',
        required=True,
        metavar=('NAME', 'PATH'),
        help=f'what and where: NAME is one of {", ".join(READERS)}; PATH a file, a folder of save_pretrained, or '
        'hf://owner/name/file. Several times: in this order',
    )
    parser.add_argument('--config', help='path of the config of the model; a checkpoint of ours (stage) carries one')
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
    return parser.parse_args(arguments)


def convert(arguments: argparse.Namespace) -> None:
    """Build the model, fill it, write it; a table per source says what became of every key."""
    out = Path(arguments.out)
    if out.suffix not in ('.pth', '.safetensors'):
        raise OmniVLValueError(f'--out must end in .pth or .safetensors, got {out}')
    sources = []
    for name, path in arguments.sources:
        if WEIGHT_READERS.get(name) is None:
            raise OmniVLValueError(f'--from {name}: there is no such reader, there are {", ".join(READERS)}')
        sources.append(dict(type=name, file=path, allow=arguments.allow))
    if arguments.config is None:
        own = [path for name, path in arguments.sources if name == 'stage']
        if not own:
            raise OmniVLValueError('weights of others do not say which model they are for: give --config')
        arguments.config = own[0]
    cfg = read_changed_config(arguments)
    torch.manual_seed(arguments.seed)
    model = MODELS.build(cfg.model)
    reports = load_weights(model, sources, show=print)
    out.parent.mkdir(parents=True, exist_ok=True)
    weights = model.state_dict()
    if out.suffix == '.pth':
        meta = dict(omnivl_version=__version__, sources=[report.source for report in reports])
        meta[KEY] = describe(cfg, model)
        save_checkpoint(dict(state_dict=weights, meta=meta), out)
    else:
        # Every name of a shared tensor gets values of its own: the format has no sharing.
        save_weights({key: value.clone() for key, value in weights.items()}, out)
    print(f'written to {out}')


def main() -> None:
    """Convert."""
    arguments = parse_arguments()
    with one_line_errors():
        convert(arguments)


if __name__ == '__main__':
    main()
