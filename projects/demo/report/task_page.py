"""The report of the downstream tasks: a table of all, bars of chance, from scratch and finetuned, and examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omnivl.commands.pages.grids import CardGrid, RetrievalGrid
from omnivl.commands.pages.media import MediaReader
from omnivl.commands.pages.render import figure, render

from .task_cards import task_examples
from .task_files import Figures, TaskRun
from .task_measures import DIRECTION

# Columns of the tables and bars, in this order.
COLUMNS = {'chance': 'chance', 'from_scratch': 'from scratch', 'finetuned': 'finetuned', 'shuffled': 'shuffled'}
NOTES = {
    'chance': 'what an answer gets that ignores the visual',
    'from_scratch': 'the same training, by the same config, from random weights',
    'finetuned': 'the training starts from the pretrained model of the quickstart',
    'shuffled': 'the finetuned model on test clips whose frames are in random order',
}
# Tasks whose columns mean something else.
EXCEPTIONS = {
    'video_multiple_choice': 'Nothing more is trained: it is answered by the two models of text-to-video retrieval.',
    'linear_probe': 'Nothing is finetuned: a linear classifier is fitted to the frozen features of random weights '
    '(from scratch) and of the pretrained model (finetuned).',
}


class Column(NamedTuple):
    """One of the ways in which a figure was measured.

    Attributes:
        name: Decides the colour.
        title: What it is called.
        value: The figure, or ``None``.
        share: How long its bar is, in percent.
    """

    name: str
    title: str
    value: float | None
    share: float


class FigureRow(NamedTuple):
    """A figure in all the ways that it was measured."""

    title: str
    columns: list[Column]


class TaskSection(NamedTuple):
    """What the page says of a task.

    Attributes:
        name: Of the task.
        title: What it is called.
        meaning: What the model has to do, in a sentence or two.
        config: Path of its config.
        seconds: Of the trainings.
        figures: The headline first.
        examples: What the finetuned model said.
    """

    name: str
    title: str
    meaning: str
    config: str
    seconds: list[float]
    figures: list[FigureRow]
    examples: RetrievalGrid | CardGrid


def row_title(figures: Figures) -> str:
    """Return the name of a metric in a table."""
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
            cells = [figure(getattr(figures, column)) for column in COLUMNS]
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
    headlines = [run.figures[0] for run in runs.values()]
    metrics = [figures for run in runs.values() for figures in run.figures]
    return render(
        Path(__file__).parent / 'templates/tasks.html',
        sections=[('table', 'All tasks'), *((task, run.headline.title) for task, run in runs.items())],
        tasks=[_section(task, run, media) for task, run in runs.items()],
        ahead=sum(_is_ahead(figures) for figures in headlines),
        columns=[(COLUMNS[name], meaning) for name, meaning in NOTES.items()],
        has_cider=not all(figures.is_percent for figures in metrics),
        has_direction=any(row_title(figures) == DIRECTION for figures in metrics),
        facts=versions,
        note=note,
    )


def _is_ahead(figures: Figures) -> bool:
    """Tell whether the finetuned model is ahead of both chance and the same training from random weights."""
    if figures.from_scratch is None or figures.finetuned is None:
        return False
    return figures.finetuned > max(figures.from_scratch, figures.chance or 0)


def _section(task: str, run: TaskRun, media: MediaReader) -> TaskSection:
    return TaskSection(
        task,
        run.headline.title,
        f'{run.headline.meaning} {EXCEPTIONS.get(task, "")}'.rstrip(),
        run.config,
        [run.seconds[name] for name in ('finetuned', 'from_scratch') if name in run.seconds],
        [_figure_row(figures) for figures in run.figures],
        task_examples(run, media),
    )


def _figure_row(figures: Figures) -> FigureRow:
    values = {name: getattr(figures, name) for name in COLUMNS}
    full = 100 if figures.is_percent else max(1e-9, *(value for value in values.values() if value is not None))
    columns = [
        Column(name, COLUMNS[name], value, max(0.0, 100 * (value or 0) / full)) for name, value in values.items()
    ]
    return FigureRow(row_title(figures), columns)
