"""Run a study: several arms, seeds and budgets, compared by the same measures, with error bars.

A study is a small Python file that says what is compared; projects/studies has some, which may be given by name. What
is there already is not run again: each run is kept under a key of what decides it (config, changes, seed, start, code),
so equal stages of several arms are trained once. A study that was stopped goes on when the same command is run again,
trainings at their last checkpoint. Tables, plots, a page and all figures as JSON go into the folder.

Examples:
    omnivl study claim_a --list
    omnivl study claim_a --out work_dirs/claim_a --dry-run
    omnivl study claim_a --out work_dirs/claim_a --jobs 2
    omnivl study claim_a --out work_dirs/claim_a --only decoupled
    omnivl study claim_a --out work_dirs/claim_a --report
"""

import argparse
from pathlib import Path

from ..main import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('study', help='path of the study, or its name if it is one of projects/studies')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='folder of runs and results; by default work_dirs/studies/<its name>'
    )
    parser.add_argument(
        '--jobs', type=int, default=1, metavar='N', help='runs at a time, each with one thread (%(default)s)'
    )
    parser.add_argument(
        '--only', action='append', metavar='ARM', help='run and show this arm alone; may be given several times'
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--list', action='store_true', help='say what the study compares, and run nothing')
    what.add_argument('--dry-run', action='store_true', help='say what would run, and run nothing')
    what.add_argument('--report', action='store_true', help='write the results of what is there, and run nothing')


def run(arguments: argparse.Namespace) -> None:
    """Run the study."""
    if arguments.jobs < 1:
        raise UsageError(f'argument --jobs: got {arguments.jobs}, it must be at least 1')
    from .conduct import conduct

    conduct(arguments)
