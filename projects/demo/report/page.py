"""Puts the report together: one HTML page that needs nothing else."""

from collections.abc import Mapping
from typing import Any

from . import sections, training
from .media import MediaReader, escape
from .run_files import RunFiles
from .style import STYLE


def render_page(run: RunFiles, media: MediaReader, versions: Mapping[str, Any], note: str = '') -> str:
    """Write the report of a run.

    Args:
        run: What the run left on disk.
        media: Reads the pictures and clips that are shown.
        versions: Name -> version or fact, for the foot of the page.
        note: A warning at the top, e.g. that the run was a smoke run.

    Returns:
        A whole HTML document.
    """
    parts = [
        ('figures', 'The figures', sections.figures(run)),
        ('trained', 'What was trained', training.trained(run)),
        ('curves', 'How it learned', training.curves(run)),
        ('retrieval', 'What it finds', sections.retrieval(run, media)),
        ('captions', 'What it says', sections.captions(run, media)),
        ('classes', 'What it takes for what', sections.classes(run)),
        ('unseen', 'What it has never seen', sections.unseen(run)),
        ('all', 'All figures, and what chance is', sections.all_figures(run)),
        ('next', 'How to go on', sections.next_steps()),
    ]
    parts = [part for part in parts if part[2]]
    links = ''.join(f'<a href="#{name}">{title}</a>' for name, title, _ in parts)
    body = ''.join(f'<section id="{name}"><h2>{title}</h2>{content}</section>' for name, title, content in parts)
    banner = f'<p class="banner">{escape(note)}</p>' if note else ''
    facts = ' · '.join(f'{escape(name)} {escape(value)}' for name, value in versions.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>OmniVL, trained here</title>'
        f'<style>{STYLE}</style></head><body><main><header><p class="soft">omnivl · demo report</p>'
        f'<h1>OmniVL, trained here from nothing</h1>{banner}{sections.summary(run)}<nav>{links}</nav></header>'
        f'{body}<footer>{facts}</footer></main></body></html>\n'
    )
