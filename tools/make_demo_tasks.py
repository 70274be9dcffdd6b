"""Make the demo corpus of the downstream tasks: the world of data/demo, each task in the form of its benchmark.

Give it the seed and the number of evaluation scenes that the pretraining corpus was made with: then what is tested here
is not seen in training, neither here nor there.

Examples:
    python tools/make_demo_tasks.py --out data/demo_tasks
    python tools/make_demo_tasks.py --out data/demo_tasks_smoke --smoke
"""

import argparse
import os
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

from omnivl.datasets.demo.progress import Progress
from omnivl.datasets.demo.tasks import TaskParameters, write_tasks
from omnivl.datasets.demo.tasks.parameters import SMOKE_TASKS


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('data/demo_tasks'), help='folder of the corpus (%(default)s)')
    parser.add_argument('--smoke', action='store_true', help='about 170 files, for tests of the machinery')
    parser.add_argument('--processes', type=int, default=min(2, os.cpu_count() or 1), help='(%(default)s)')
    helps = {
        'seed': 'of every draw; as of data/demo',
        'size': 'height and width in pixels',
        'num_eval': 'scenes of each of val and test; as of data/demo',
        'num_images': 'captioned training pictures',
        'num_clips': 'captioned training clips, and labelled ones, as many of each',
        'num_long': 'long training videos',
        'num_lone': 'labelled training pictures',
    }
    for field in fields(TaskParameters):
        note = f'{helps[field.name]} ({field.default})'
        parser.add_argument(f'--{field.name.replace("_", "-")}', type=int, default=None, help=note)
    return parser.parse_args()


def main() -> None:
    """Make the corpus, or say that it is there."""
    args = parse_args()
    given = {field.name: getattr(args, field.name) for field in fields(TaskParameters)}
    given = {name: value for name, value in given.items() if value is not None}
    start = time.monotonic()
    try:
        parameters = replace(SMOKE_TASKS if args.smoke else TaskParameters(), **given)
        written = write_tasks(args.out, parameters, processes=args.processes, report=Progress())
    except (ValueError, FileExistsError, RuntimeError, ImportError) as error:
        sys.exit(f'make_demo_tasks: {error}')
    seconds = time.monotonic() - start
    print(f'{args.out}: written in {seconds:.0f} s' if written else f'{args.out}: there already, whole and unchanged')


if __name__ == '__main__':
    main()
