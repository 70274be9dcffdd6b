"""The report of the downstream tasks: a table of all, bars of chance, from scratch and finetuned, and examples."""

from collections.abc import Iterable, Mapping
from typing import Any

from .media import MediaReader, escape
from .style import STYLE
from .tables import html_table
from .task_cards import task_examples
from .task_files import Figures, TaskRun
from .task_measures import DIRECTION
from .training import duration

TASK_STYLE = """
.task .measures { display: grid; gap: .9rem; }
.taskbars { display: grid; grid-template-columns: 6.4rem 1fr 3.6rem; align-items: center; gap: 3px 10px;
  font-size: .86rem; margin-top: .25rem; }
.taskbars .value { font-weight: 500; text-align: right; } .taskbars .finetuned.value { font-weight: 700; }
.track.chance { --accent: var(--soft); } .track.chance .fill { opacity: .5; }
.track.from_scratch { --accent: var(--image); } .track.finetuned { --accent: var(--both); }
.track.shuffled { --accent: var(--video); }
"""
# Columns of the tables and bars, in this order.
COLUMNS = {'chance': 'chance', 'from_scratch': 'from scratch', 'finetuned': 'finetuned', 'shuffled': 'shuffled'}
NOTES = {
    'chance': 'what an answer gets that ignores the visual',
    'from scratch': 'the same training, by the same config, from random weights',
    'finetuned': 'the training starts from the pretrained model of the quickstart',
    'shuffled': 'the finetuned model on test clips whose frames are in random order',
}
# Tasks whose columns mean something else.
EXCEPTIONS = {
    'video_multiple_choice': 'Nothing more is trained: it is answered by the two models of text-to-video retrieval.',
    'linear_probe': 'Nothing is finetuned: a linear classifier is fitted to the frozen features of random weights '
    '(from scratch) and of the pretrained model (finetuned).',
}
DIRECTION_NOTE = (
    'Direction: of the answers that name the motion or its reverse, how many name the right one. A clip and its '
    'reverse have the same frames. Shuffled, they still tell along which line something moves, but not which way: '
    'other figures may stay above chance, this one has to fall to that of a coin.'
)
DASH = '\N{EN DASH}'


def number(value: float | None) -> str:
    """Write a figure, or a dash where there is none."""
    return DASH if value is None else f'{value:.1f}'


def row_title(figures: Figures) -> str:
    """Name of a metric in a table."""
    return figures.metric.split('.')[-1]


def markdown_table(runs: Mapping[str, TaskRun]) -> str:
    """Write the table of all tasks.

    Args:
        runs: Task -> what was found.

    Returns:
        A table in Markdown; the further figures of a task stand below its headline.
    """
    lines = ['| task | metric | ' + ' | '.join(COLUMNS.values()) + ' |', '| --- ' * (2 + len(COLUMNS)) + '|']
    for run in runs.values():
        for place, figures in enumerate(run.figures):
            cells = [number(getattr(figures, column)) for column in COLUMNS]
            title = run.headline.title if place == 0 else '…'
            lines.append('| ' + ' | '.join([title, f'`{figures.metric}`', *cells]) + ' |')
    return '\n'.join(lines) + '\n'


def render_task_page(
    runs: Mapping[str, TaskRun], media: MediaReader, versions: Mapping[str, Any], note: str = ''
) -> str:
    """Write the report of the downstream tasks.

    Args:
        runs: Task -> what was found.
        media: Reads the pictures and clips that are shown.
        versions: Name -> version or fact, for the foot of the page.
        note: A warning at the top, e.g. that the run was a smoke run.

    Returns:
        A whole HTML document that loads nothing.
    """
    links = '<a href="#table">All tasks</a>'
    links += ''.join(f'<a href="#{task}">{run.headline.title}</a>' for task, run in runs.items())
    banner = f'<p class="banner">{escape(note)}</p>' if note else ''
    facts = ' · '.join(f'{escape(name)} {escape(value)}' for name, value in versions.items())
    sections = ''.join(_section(task, run, media) for task, run in runs.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>OmniVL, task by task</title>'
        f'<style>{STYLE}{TASK_STYLE}</style></head><body><main><header>'
        f'<p class="soft">omnivl · downstream tasks of the demo</p><h1>One model, task by task</h1>{banner}'
        f'{_summary(runs)}<nav>{links}</nav></header>'
        f'<section id="table"><h2>All tasks</h2>{_key()}<div class="card">{_table(runs)}</div>{_notes(runs)}</section>'
        f'{sections}<footer>{facts}</footer></main></body></html>\n'
    )


def _summary(runs: Mapping[str, TaskRun]) -> str:
    first = [run.figures[0] for run in runs.values()]
    ahead = sum(f.from_scratch is not None and f.finetuned > max(f.from_scratch, f.chance or 0) for f in first)
    tasks = '1 task' if len(first) == 1 else f'{len(first)} tasks'
    return (
        f'<p class="lead">The model that the quickstart pretrained, taken to {tasks}. In {ahead} of {len(first)} it is '
        'ahead of both chance and the same training from random weights. All figures are of held-out scenes.</p>'
    )


def _key() -> str:
    items = ''.join(f'<li><b>{name}</b>: {meaning}</li>' for name, meaning in NOTES.items())
    return f'<ul class="note">{items}</ul>'


def _table(runs: Mapping[str, TaskRun]) -> str:
    rows = []
    for task, run in runs.items():
        for place, figures in enumerate(run.figures):
            values = [number(getattr(figures, column)) for column in COLUMNS]
            values[2] = f'<b>{values[2]}</b>'
            title = f'<a href="#{task}">{run.headline.title}</a>' if place == 0 else ''
            rows.append([title, escape(row_title(figures)), *values])
    return html_table(['', 'metric', *COLUMNS.values()], rows)


def _notes(runs: Mapping[str, TaskRun]) -> str:
    notes = ['CIDEr has no upper bound; all other figures are percent.'] if not _all_percent(runs.values()) else []
    if any(row_title(figures) == DIRECTION for run in runs.values() for figures in run.figures):
        notes.append(DIRECTION_NOTE)
    return ''.join(f'<p class="note">{note}</p>' for note in notes)


def _all_percent(runs: Iterable[TaskRun]) -> bool:
    return all(figures.is_percent for run in runs for figures in run.figures)


def _section(task: str, run: TaskRun, media: MediaReader) -> str:
    exception = f' {EXCEPTIONS[task]}' if task in EXCEPTIONS else ''
    bars = ''.join(_bars(figures) for figures in run.figures)
    examples = task_examples(run, media)
    return (
        f'<section id="{task}" class="task"><h2>{run.headline.title}</h2>'
        f'<p>{escape(run.headline.meaning)}{exception}</p>'
        f'<div class="card"><div class="measures">{bars}</div></div>'
        f'<p class="note"><code>{run.config}</code>{_times(run)}</p>{examples}</section>'
    )


def _bars(figures: Figures) -> str:
    values = {column: getattr(figures, column) for column in COLUMNS}
    values = {column: value for column, value in values.items() if value is not None}
    full = 100 if figures.is_percent else max(*values.values(), 1e-9)
    bars = ''.join(
        f'<span>{COLUMNS[column]}</span><div class="track thin {column}">'
        f'<span class="fill" style="width:{max(0.0, 100 * value / full):.1f}%"></span></div>'
        f'<span class="value {column}">{number(value)}</span>'
        for column, value in values.items()
    )
    return f'<div><b>{escape(row_title(figures))}</b><div class="taskbars">{bars}</div></div>'


def _times(run: TaskRun) -> str:
    training = [run.seconds[name] for name in ('finetuned', 'from_scratch') if name in run.seconds]
    return f' · trained for {" and ".join(map(duration, training))}' if training else ''
