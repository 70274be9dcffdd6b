"""Write captions of images and videos, one line of JSON for each.

MODEL is a work directory, a checkpoint, a folder that omnivl export wrote or one of BLIP, hf://owner/name for such a
folder on the hub, or a config with a CHECKPOINT (or work directory) after it. INPUTS are files, folders and URLs,
images and videos mixed; what cannot be read is reported and the rest goes on.

Examples:
    omnivl caption work_dirs/caption_coco photo.jpg clip.mp4
    omnivl caption photo.jpg clip.mp4 --model hf://Salesforce/blip-image-captioning-base
    omnivl caption pretrain_joint work_dirs/pretrain_joint photos/ --method beam --out captions.json
"""

import argparse

from . import infer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    infer.add_model_options(parser)
    parser.add_argument('--method', choices=('greedy', 'beam', 'nucleus'), help='how words are chosen')
    infer.add_output_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it and show the results."""
    infer.run(arguments, 'caption')
