"""Finetune a model on pictures and clips of one's own: one folder in, figures, a report and a model to use out.

The form of the folder is found out: .txt files beside pictures and clips (one caption a line), a CSV with a header,
metadata.jsonl or metadata.csv, class folders, img2dataset's files or tar files, captions in the JSON of COCO. So are
the task, a split by files, size, batch, length and learning rate; each choice is printed with its reason, has an
option, and stands in a config that you can change. The same command again goes on with a run that was stopped.

Examples:
    omnivl finetune photos
    omnivl finetune photos --task retrieval --from work_dirs/pretrain_joint
    omnivl finetune clips.csv --task vqa --file-column clip --minutes 10
    omnivl finetune flowers --task classify --from exported --seed 1
    omnivl finetune photos --dry-run
"""

import argparse
from pathlib import Path

from ..main import UsageError
from ..options import SEEN
from .columns import add_column_options

TASKS = ('caption', 'retrieval', 'vqa', 'classify')
MINUTES = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        'folder', metavar='FOLDER', help='pictures and clips with what is said of them; or a table of them'
    )
    parser.add_argument('--task', choices=TASKS, help='what to learn; by default what the folder offers')
    parser.add_argument(
        '--from',
        dest='start',
        metavar='MODEL',
        help='model to start from: a checkpoint, a work directory, an exported folder, hf://owner/name; without '
        'one a small model starts from random weights, as a toy',
    )
    parser.add_argument(
        '--form', choices=('metadata', 'shards', 'table', 'coco', 'texts', 'classes'), help='form of the folder'
    )
    parser.add_argument('--work-dir', help='folder of all results; by default work_dirs/finetune/<folder>-<task>')
    add_column_options(parser)
    parser.add_argument('--modality', choices=(*SEEN, 'both'), help='what to train on; by default what the folder has')
    parser.add_argument(
        '--held-out', type=float, default=0.2, metavar='SHARE', help='share of the files to test on (0.2)'
    )
    parser.add_argument('--minutes', type=float, default=MINUTES, help=f'time of the training alone ({MINUTES})')
    parser.add_argument('--steps', type=int, help='steps of the training, instead of --minutes')
    parser.add_argument('--batch', type=int, help='pictures or clips of a step')
    parser.add_argument('--lr', type=float, help='largest learning rate')
    parser.add_argument('--size', type=int, help='side of the pictures in pixels, of a model from random weights')
    parser.add_argument('--seed', type=int, default=0, help='of the split and the training (0)')
    parser.add_argument('--dry-run', action='store_true', help='say what was understood and chosen; train nothing')


def check(arguments: argparse.Namespace) -> None:
    """Refuse values that cannot be, with the usage."""
    if not 0 < arguments.held_out < 1:
        raise UsageError(f'--held-out is a share between 0 and 1, got {arguments.held_out}')
    for name in ('minutes', 'steps', 'batch', 'lr', 'size'):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise UsageError(f'--{name} must be above 0, got {value}')
    if arguments.size is not None and arguments.start is not None:
        raise UsageError('--size is for a model from random weights; that of --from has its own')
    if arguments.size is not None and arguments.size % 16:
        raise UsageError(f'--size must be a multiple of 16, the side of a patch, got {arguments.size}')


def run(arguments: argparse.Namespace) -> None:
    """Understand, choose, train, test, report."""
    from .running import finetune

    check(arguments)
    arguments.folder = Path(arguments.folder)
    finetune(arguments)
