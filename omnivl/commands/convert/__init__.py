"""Fill the model of a config with weights of other libraries, and write a checkpoint; every key is accounted for.

Examples:
    omnivl convert --from blip BLIP.safetensors --config pretrain_joint_from_blip --out blip.pth
    omnivl convert --from blip blip-caption-base --out caption.pth
    omnivl convert --from timm vit.safetensors --from bert bert.safetensors --config pretrain_image --out start.pth
"""

import argparse

from ..options import CONFIG_HELP, READERS, add_cfg_options


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


def run(arguments: argparse.Namespace) -> None:
    """Convert."""
    from .filling import convert

    convert(arguments)
