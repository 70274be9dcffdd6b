"""Puts the report together: one HTML page that needs nothing else."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnivl.commands.pages import MediaReader, render

from . import sections, tables, training
from .run_files import RunFiles

TEMPLATES = Path(__file__).parent / 'templates'
# Name of the template and of what it shows -> title.
SECTIONS = {
    'figures': 'The figures',
    'trained': 'What was trained',
    'curves': 'How it learned',
    'retrieval': 'What it finds',
    'captions': 'What it says',
    'classes': 'What it takes for what',
    'unseen': 'What it has never seen',
    'all': 'All figures, and what chance is',
    'next': 'How to go on',
}


def render_page(
    run: RunFiles, media: MediaReader, versions: Mapping[str, Any], note: str = '', work_dir: str = 'work_dirs/demo'
) -> str:
    """Write the report of a run.

    Args:
        run: What the run left on disk.
        media: Reads the pictures and clips that are shown.
        versions: Name -> version or fact, for the foot of the page.
        note: A warning at the top, e.g. that the run was a smoke run.
        work_dir: Of the run, for the commands to go on with.

    Returns:
        A whole HTML document.
    """
    content = dict(
        figures=tables.headline_bars(run),
        trained=training.describe(run),
        curves=training.curves(run),
        retrieval=sections.retrieval(run, media),
        captions=sections.captions(run, media),
        classes=tables.confusions(run),
        unseen=tables.seen_and_unseen(run),
        tables=tables.all_tables(run),
        galleries=sections.galleries(run),
        work_dir=shlex.quote(work_dir),
        data=shlex.quote(str(media.root)),
    )
    # A section with nothing to show is left out, and so is its link.
    shown = [(name, title) for name, title in SECTIONS.items() if content.get(name, True)]
    summary = sections.summarize(run)
    return render(TEMPLATES / 'report.html', sections=shown, summary=summary, facts=versions, note=note, **content)
