"""Write the report of a demo run: report.html, one page to look at, and metrics.json, the figures in one place.

Example:
    python -m projects.demo.make_report --work-dir work_dirs/demo --data data/demo
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import omnivl
from omnivl.errors import OmniVLError
from projects.demo.report import MediaReader, RunFiles, read_run, render_page

PACKAGES = ('torch', 'mmengine', 'mmcv-lite', 'timm', 'transformers', 'numpy')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, required=True, help='holds stage1, stage2 and test')
    parser.add_argument('--data', type=Path, required=True, help='folder of the demo corpus')
    parser.add_argument('--note', default='', help='a warning for the top of the page')
    return parser.parse_args(argv)


def final_metrics(run: RunFiles, versions: dict[str, str]) -> dict[str, Any]:
    """Join the figures of the evaluation with what they cost and what they were made with.

    Args:
        run: The run.
        versions: Name -> version.

    Returns:
        The tree of the evaluation, with ``seconds`` of every step, ``steps``, ``parameters`` and ``versions``.
    """
    test_seconds = run.metrics.get('seconds', {})
    return run.metrics | dict(
        seconds=run.seconds | {'evaluations': test_seconds},
        steps=run.steps,
        parameters=run.parameters | {'total': sum(run.parameters.values()), 'training_only': run.training_only},
        versions=versions,
    )


def installed_versions() -> dict[str, str]:
    """Look up what the figures were made with."""
    versions = {'omnivl': omnivl.__version__, 'Python': platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def main(argv: Sequence[str] | None = None) -> None:
    """Read, draw, write."""
    args = parse_args(argv)
    try:
        run = read_run(args.work_dir, args.data)
        versions = installed_versions()
        facts = versions | {'on': platform.machine(), 'at': time.strftime('%Y-%m-%d %H:%M')}
        page = render_page(run, MediaReader(args.data), facts, args.note, str(args.work_dir))
    except (OmniVLError, ImportError) as error:
        sys.exit(f'make_report: {error}')
    metrics_file, report_file = args.work_dir / 'metrics.json', args.work_dir / 'report.html'
    metrics_file.write_text(json.dumps(final_metrics(run, versions), indent=1) + '\n', encoding='utf-8')
    report_file.write_text(page, encoding='utf-8')
    print(f'{report_file}: {len(page) / 1e6:.1f} MB\n{metrics_file}')


if __name__ == '__main__':
    main()
