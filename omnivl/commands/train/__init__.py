"""Train the model of a config, from nothing or from the weights that it names.

Logs and checkpoints go into a work directory. A run that ended goes on with --resume, as if it had not been broken.
bash tools/dist_train.sh and tools/slurm_train.sh of a checkout start several processes.

Examples:
    omnivl train pretrain_image --data-root /data/corpora
    omnivl train pretrain_joint --work-dir work_dirs/joint --amp bf16
    omnivl train configs/omnivl/vqa_v2.py --resume
    omnivl train retrieval_coco --cfg-options optim_wrapper.optimizer.lr=1e-5
"""

import argparse

from ..options import CONFIG_HELP, add_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='go on with a run: from the last whole checkpoint of the work directory, or from PATH',
    )
    parser.add_argument('--amp', choices=('bf16', 'fp16'), help='mixed precision; fp16 needs a GPU')
    add_run_options(parser, 'logs and checkpoints', 'work_dirs/<name of the config>')


def run(arguments: argparse.Namespace) -> None:
    """Train."""
    from .training import train

    train(arguments)
