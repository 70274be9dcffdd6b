"""Training curves as inline SVG that takes its colours from the page, so that it follows light and dark."""

import io
import re
from bisect import bisect_right
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from .run_files import Curve

# matplotlib wants real colours; these stand-ins become variables of the page's style sheet.
INK, GRID = '#010203', '#040506'
COLOURS = {'image': '#070809', 'video': '#0a0b0c', 'both': '#0d0e0f'}
VARIABLES = {INK: '--soft', GRID: '--line', **{colour: f'--{name}' for name, colour in COLOURS.items()}}


def draw_curves(curves: Mapping[str, Curve], title: str, border: int | None = None, smooth: bool = True) -> str:
    """Draw one quantity over training.

    Args:
        curves: ``'image'``, ``'video'`` or ``'both'`` -> curve.
        title: What is drawn, for those who cannot see it.
        border: Last step of the first stage.
        smooth: Whether to draw a running mean over what was logged, of each stage by itself.

    Returns:
        An ``<svg>`` element.
    """
    pyplot = import_matplotlib()
    style = {'svg.fonttype': 'none', 'svg.hashsalt': title, 'font.size': 10, 'font.family': 'sans-serif'}
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(4.4, 2.5))
        for name, curve in sorted(curves.items()):
            for part in split_at(curve, border):
                mean = running_mean(part.values) if smooth else part.values
                if mean != part.values:
                    axes.plot(part.steps, part.values, color=COLOURS[name], linewidth=0.8, alpha=0.3)
                marker = 'o' if len(part.steps) < 8 else None
                axes.plot(part.steps, mean, color=COLOURS[name], linewidth=1.8, marker=marker, markersize=3)
        if border:
            axes.axvline(border, color=INK, linewidth=0.8, linestyle=(0, (3, 3)))
        _dress(axes)
        figure.tight_layout(pad=0.4, rect=(0.05, 0, 1, 1))  # the page's font may be wider than matplotlib's
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
        pyplot.close(figure)
    return _for_page(buffer.getvalue(), title)


def split_at(curve: Curve, border: int | None) -> list[Curve]:
    """Cut a curve in two.

    Args:
        curve: The curve.
        border: Last step of the first part; ``None`` cuts nothing.

    Returns:
        The parts that have a point.
    """
    cut = 0 if border is None else bisect_right(curve.steps, border)
    parts = [Curve(curve.steps[:cut], curve.values[:cut]), Curve(curve.steps[cut:], curve.values[cut:])]
    return [part for part in parts if part.steps]


def running_mean(values: list[float], share: float = 0.05) -> list[float]:
    """Smooth a curve by an exponential mean over about ``share`` of its length, unbiased at its start.

    Args:
        values: The curve.
        share: Part of the curve that the mean looks back on.

    Returns:
        As many values; the curve itself if it is too short to be smoothed.
    """
    window = len(values) * share
    if window < 2:
        return values
    keep = 1 - 1 / window
    total, weight, means = 0.0, 0.0, []
    for value in values:
        total, weight = keep * total + value, keep * weight + 1
        means.append(total / weight)
    return means


def import_matplotlib() -> ModuleType:
    """Import matplotlib's pyplot, without a display.

    Returns:
        The module.

    Raises:
        ImportError: It is not installed; says how to install it.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "the report draws its curves with matplotlib, which is not installed: pip install -e '.[demo]'"
        ) from error
    matplotlib.use('Agg')
    from matplotlib import pyplot

    return pyplot


def _dress(axes: Any) -> None:
    """Take away what is not needed and give the rest the stand-in colours."""
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.spines['bottom'].set_color(GRID)
    axes.grid(axis='y', color=GRID, linewidth=0.8)
    axes.tick_params(colors=INK, which='both', length=0)
    axes.margins(x=0.01)
    axes.set_axisbelow(True)


def _for_page(svg: str, title: str) -> str:
    svg = svg[svg.index('<svg') :]
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f'var({variable})')
    svg = re.sub(r'font: (\d+)px [^;\"]*', r'font: \1px var(--font)', svg)
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    return re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{title}">', svg, count=1
    )
