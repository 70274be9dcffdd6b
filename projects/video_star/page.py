"""The page of a cycle: what came of the questions, samples with their frames, and held-out accuracy so far."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omnivl.commands.pages import MediaReader, render
from omnivl.storage.files import write_text

from .records import BROKEN, DIRECT, RATIONALISED, REJECTED, VERDICTS, Row, lines

if TYPE_CHECKING:
    from .cycle import CycleResult, Cycles

TEMPLATE = Path(__file__).parent / 'pages/cycle.html'
WIDTH, HEIGHT, MARGIN = 640, 240, 30  # of the curve, in pixels
COLORS = ('#4363d8', '#e6194b', '#3cb44b', '#f58231', '#911eb4', '#808080')


class Table(NamedTuple):
    """A table, as the macro of pages draws it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Line(NamedTuple):
    """A line of the curve.

    Attributes:
        name: What it is of.
        color: Of the line.
        points: ``x,y x,y``, in pixels.
        last: The last figure.
    """

    name: str
    color: str
    points: str
    last: float


def write_page(cycles: 'Cycles', results: Sequence['CycleResult']) -> Path:
    """Write ``page.html`` of the last cycle of ``results``, and return its path."""
    last = results[-1]
    folder = cycles.folder(last.number)
    rows = list(lines(folder / 'provenance.jsonl'))
    path = folder / 'page.html'
    page = render(
        TEMPLATE,
        heading=f'Cycle {last.number} of {cycles.settings.cycles}',
        note='',
        sections=[('yield', 'Yield'), ('curve', 'Accuracy'), ('samples', 'Samples')],
        counts=yield_table(last.figures['yield']),
        reasons=list(last.figures['reasons'].items()),
        lines=curve([result.figures['held_out'] for result in results]),
        ticks=ticks(len(results)),
        size=dict(width=WIDTH, height=HEIGHT, margin=MARGIN),
        groups=sample_groups(rows, cycles.settings.examples),
        facts={'questions': len(rows), 'held out': len(cycles.held_out), 'seed': cycles.settings.seed},
    )
    write_text(path, page)
    return path


def yield_table(counts: dict[str, dict[str, int]]) -> Table:
    """Lay out counts by type of label and verdict, with the share that was kept."""
    rows = []
    for kind, verdicts in sorted(counts.items()):
        total = sum(verdicts.values())
        kept = verdicts.get(DIRECT, 0) + verdicts.get(RATIONALISED, 0)
        rows.append([kind, *(str(verdicts.get(verdict, 0)) for verdict in VERDICTS), f'{100 * kept / total:.1f}%'])
    return Table('Answers by type of label', ['type', *VERDICTS, 'kept'], rows)


def curve(figures: Sequence[dict[str, float]]) -> list[Line]:
    """Draw held-out accuracy of each source over the cycles, the pretrained model first."""
    names = [name for name in figures[0] if ': ' not in name] if figures and figures[0] else []
    drawn = []
    for number, name in enumerate(names):
        points = [(position(place, len(figures)), height(one[name])) for place, one in enumerate(figures)]
        text = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
        drawn.append(Line(name, COLORS[number % len(COLORS)], text, figures[-1][name]))
    return drawn


def position(place: int, count: int) -> float:
    """Return x of a cycle."""
    return MARGIN + (WIDTH - 2 * MARGIN) * place / max(count - 1, 1)


def height(percent: float) -> float:
    """Return y of a percentage."""
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * percent / 100


def ticks(count: int) -> dict[str, list[tuple[float, str]]]:
    """Return places and words of the axes."""
    words = ['pretrained', *(f'cycle {number}' for number in range(1, count))]
    return {
        'x': [(position(place, count), word) for place, word in enumerate(words)],
        'y': [(height(value), f'{value}%') for value in (0, 50, 100)],
    }


def sample_groups(rows: Sequence[Row], count: int) -> list[tuple[str, list[dict[str, Any]]]]:
    """Show the first rows of each verdict, not the best."""
    media = MediaReader(Path('.'))
    groups = []
    for verdict in (DIRECT, RATIONALISED, REJECTED, BROKEN):
        chosen = [row for row in rows if row['verdict'] == verdict][:count]
        shown = [
            row
            | {'picture': media.show(row['video_path'], row['question'], tuple(row['clip']) if 'clip' in row else None)}
            for row in chosen
        ]
        if shown:
            groups.append((verdict, shown))
    return groups
