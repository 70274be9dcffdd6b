"""Plots of a study: bars with the points of each seed, and curves against the budget with bands of an error."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnivl.errors import OmniVLImportError

from .describe import Measure, Study
from .figures import spread

if TYPE_CHECKING:
    from .report import Table

COLUMNS = 3
PANEL = (4.2, 3.0)  # inches


def plot_bars(study: Study, table: 'Table', budget: float, path: Path) -> None:
    """Draw a panel for each measure: a bar for each arm, its standard error, and a point for each seed.

    Args:
        study: The study.
        table: Its figures.
        budget: Which of them.
        path: The PNG file to write.

    Raises:
        OmniVLImportError: matplotlib is not installed.
    """

    def draw(axes: Any, measure: Measure) -> None:
        """Draw the bar and the points of each arm."""
        for place, arm in enumerate(study.arms):
            values = list(table.values(arm, budget, measure).values())
            if values:
                found = spread(values)
                axes.bar(place, found.mean, yerr=found.error, width=0.7, alpha=0.5, capsize=4)
                shifts = [(number - (len(values) - 1) / 2) * 0.08 for number in range(len(values))]
                axes.plot([place + shift for shift in shifts], values, 'k.', markersize=4)
        axes.set_xticks(range(len(study.arms)), list(study.arms), rotation=20, ha='right', fontsize=7)

    _draw_panels(study.measures, draw, path)


def plot_curves(study: Study, table: 'Table', path: Path) -> None:
    """Draw a panel for each measure: figures against the budget, a line for each arm, a band of one standard error.

    Args:
        study: The study.
        table: Its figures.
        path: The PNG file to write.

    Raises:
        OmniVLImportError: matplotlib is not installed.
    """

    def draw(axes: Any, measure: Measure) -> None:
        """Draw the line and the band of each arm."""
        for arm in study.arms:
            found = {budget: list(table.values(arm, budget, measure).values()) for budget in sorted(study.budgets)}
            points = {budget: spread(values) for budget, values in found.items() if values}
            means = [one.mean for one in points.values()]
            errors = [one.error or 0.0 for one in points.values()]
            line = axes.plot(list(points), means, marker='o', markersize=3, label=arm)[0]
            low, high = ([m + sign * e for m, e in zip(means, errors)] for sign in (-1, 1))
            axes.fill_between(list(points), low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set_xscale('log', base=2)
        axes.set_xticks(sorted(study.budgets), [f'{budget:g}' for budget in sorted(study.budgets)])
        axes.minorticks_off()
        axes.set_xlabel('budget', fontsize=7)
        axes.legend(fontsize=6)

    _draw_panels(study.measures, draw, path)


def _draw_panels(measures: Sequence[Measure], draw: Callable[[Any, Measure], None], path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OmniVLImportError('plots need matplotlib: pip install matplotlib, or omnivl[demo]') from error
    columns = min(COLUMNS, len(measures))
    rows = math.ceil(len(measures) / columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout='constrained')
    for number, measure in enumerate(measures):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.set_title(measure.label, fontsize=9)
        draw(axes, measure)
    figure.savefig(path, dpi=110, metadata={'Software': None})
