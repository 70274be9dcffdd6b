"""Count parameters and floating point operations of a model, part by part, for one image and for one clip.

Nothing is computed: the model lives on torch's meta device, so large ones take a second too. A multiply-add counts as
two operations (papers often give multiply-adds and call them FLOPs). Counted are matrix products, convolutions and
attention; forward is one visual with one text through every part that the losses need, step is the share of one sample
in a training step: forward and backward, the three pairs of VLM, the momentum encoder and the queues. A model without
losses has its features counted. Any model that has ``parts`` can be counted (``HasParts`` of its interfaces).

Examples:
    omnivl flops configs/omnivl/pretrain_joint.py
    omnivl flops configs/omnivl/pretrain_joint.py --size 384 --frames 16 --words 35
    omnivl flops pretrain_joint --json
"""

import argparse

from ..main import UsageError
from ..options import CONFIG_HELP, add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help=CONFIG_HELP)
    add_config_options(parser)
    parser.add_argument('--frames', type=int, help='frames of a clip; by default those of the config')
    parser.add_argument('--size', type=int, help='side of a picture in pixels; by default that of the config')
    parser.add_argument('--words', type=int, default=30, help='word pieces of a text, [CLS] and [SEP] too; default 30')
    parser.add_argument('--json', action='store_true', help='print JSON, with whole numbers')


def run(arguments: argparse.Namespace) -> None:
    """Count and print."""
    for name, least in (('frames', 1), ('size', 1), ('words', 2)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UsageError(f'--{name} must be at least {least}, got {value}')
    from .counting import count

    count(arguments)
