"""Evaluate a checkpoint on the test data of a config.

metrics.json, with the chance level and the protocol of each figure, and all predictions go into a work directory.

A model alone (a checkpoint, a work directory, a folder of omnivl export, hf://owner/name) is tested on the data that
its training named: the config that it carries is data, which names registered components only. The Python config in a
work directory is not read for that.

Examples:
    omnivl test work_dirs/retrieval_coco
    omnivl test --model hf://owner/name --data-root /data/corpora
    omnivl test retrieval_coco work_dirs/retrieval_coco
    omnivl test zero_shot_retrieval work_dirs/pretrain_joint/iter_10000.pth --data-root /data/corpora
    omnivl test vqa_v2 work_dirs/vqa_v2 --submit
    omnivl test probe_cifar10 random
"""

import argparse

from ..options import CONFIG_HELP, add_model_options, add_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_model_options(
        parser,
        config=f'a model, which is tested on the data that it names; or {CONFIG_HELP}',
        checkpoint='after a config: what would otherwise stand alone; or random: the model as the seed of the config '
        'initialises it, to compare with. A config that only tests and names its weights (load_from) needs none',
    )
    parser.add_argument(
        '--submit',
        nargs='?',
        const='',
        metavar='DIR',
        help="write what the benchmark's server takes into DIR; by default into submission/ of the work directory",
    )
    add_run_options(parser, 'the results', 'work_dirs/<name of the config>/test')


def run(arguments: argparse.Namespace) -> None:
    """Evaluate."""
    from .testing import evaluate

    evaluate(arguments)
