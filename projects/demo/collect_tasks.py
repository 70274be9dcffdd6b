"""Gather the figures of all downstream tasks: metrics.json, table.md and report.html, one page to look at.

Every figure is read from what the tests wrote (``<task>/<from_scratch or finetuned>/test``); nothing is tested here.

Example:
    python -m projects.demo.collect_tasks --work-dir work_dirs/demo_tasks --data data/demo_tasks
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import omnivl
from omnivl.errors import OmniVLError
from projects.demo.report import MediaReader, markdown_table, read_tasks, render_task_page


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, required=True, help='holds one folder for each task')
    parser.add_argument('--data', type=Path, required=True, help='where pictures and clips lie that are not found here')
    parser.add_argument('--note', default='', help='a warning for the top of the page')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read, draw, write."""
    args = parse_args(argv)
    try:
        runs, unfinished = read_tasks(args.work_dir)
    except OmniVLError as error:
        sys.exit(f'collect_tasks: {error}')
    facts = {
        'omnivl': omnivl.__version__,
        'torch': version('torch'),
        'Python': platform.python_version(),
        'on': platform.machine(),
        'at': time.strftime('%Y-%m-%d %H:%M'),
    }
    table = markdown_table(runs)
    files = {
        'metrics.json': json.dumps({task: run.entry() for task, run in runs.items()}, indent=1) + '\n',
        'table.md': table,
        'report.html': render_task_page(runs, MediaReader(args.data), facts, args.note),
    }
    for name, text in files.items():
        (args.work_dir / name).write_text(text, encoding='utf-8')
    print(table)
    if unfinished:
        print(f'not finished, left out: {", ".join(unfinished)}')
    print('\n'.join(str(args.work_dir / name) for name in files))


if __name__ == '__main__':
    main()
