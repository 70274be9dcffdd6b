"""The results of a study: every figure as JSON, tables in Markdown, plots, and a page of all."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnivl.storage.files import write_json, write_text

from ..pages.render import duration
from .describe import Measure, Study, StudyError
from .figures import Spread, difference, spread
from .plan import Cell, Plan, Run
from .plots import plot_bars, plot_curves
from .runs import folder_of, is_done, read_done


@dataclass
class Table:
    """Figures of a study, as far as they are there.

    Attributes:
        figures: (arm, budget, title of the measure) -> seed -> figure.
    """

    figures: dict[tuple[str, float, str], dict[int, float]]

    def values(self, arm: str, budget: float, measure: Measure) -> dict[int, float]:
        """Return the figures of an arm, by seed."""
        return self.figures.get((arm, budget, measure.title), {})


def write_results(study: Study, plan: Plan, out: Path, command: str) -> None:
    """Write ``results.json``, ``table.md``, plots and ``README.md``, from the runs that are done.

    Args:
        study: The study.
        plan: Its plan.
        out: Its folder.
        command: That the page names.

    Raises:
        StudyError: A test has no such figure.
        OmniVLImportError: matplotlib is not installed.
    """
    rows = [row_of(cell, out) for cell in plan.cells if is_done(cell.test, out)]
    table = Table({})
    for row in rows:
        table.figures.setdefault((row['arm'], row['budget'], row['measure']), {})[row['seed']] = row['value']
    done = [run for run in plan.runs.values() if is_done(run, out)]
    results = dict(
        title=study.title,
        figures=rows,
        means=list(means(study, table)),
        differences=list(differences(study, table)),
        seconds=round(sum(read_done(run, out)['seconds'] for run in done), 1),
        missing=len(plan.cells) - len(rows),
    )
    write_json(out / 'results.json', results)
    text = '\n'.join(table_lines(study, results))
    write_text(out / 'table.md', text + '\n')
    pictures = []
    for budget in study.budgets if rows else ():
        pictures.append(f'bars_{budget:g}.png')
        plot_bars(study, table, budget, out / pictures[-1])
    if rows and len(study.budgets) > 1:
        pictures.append('curves.png')
        plot_curves(study, table, out / pictures[-1])
    write_text(out / 'README.md', page(study, results, text, pictures, command))


def row_of(cell: Cell, out: Path) -> dict[str, Any]:
    """Read a figure, with all that decides it.

    Args:
        cell: Whose test is done.
        out: The folder of the study.

    Returns:
        A row of plain values.

    Raises:
        StudyError: The test has no such figure.
    """
    metrics = json.loads((folder_of(cell.test, out) / 'metrics.json').read_text(encoding='utf-8'))
    value = _find(metrics, cell.measure.metric)
    if value is None:
        raise StudyError(
            f'{cell.measure.title}: the test of {cell.test.config} has no figure {cell.measure.metric}; '
            f'see {folder_of(cell.test, out) / "metrics.json"}'
        )
    runs = [*cell.test.needs, cell.test]
    return dict(
        arm=cell.arm,
        seed=cell.seed,
        budget=cell.budget,
        measure=cell.measure.title,
        metric=cell.measure.metric,
        value=value,
        chance=_find(metrics.get('chance', {}), cell.measure.metric),
        runs=[_told(run, out) for run in runs],
    )


def _told(run: Run, out: Path) -> dict[str, Any]:
    done = read_done(run, out)
    kept = ('kind', 'config', 'changes', 'seed', 'steps', 'seconds', 'commit')
    return dict(key=run.key, **{name: done[name] for name in kept})


def _find(tree: Any, name: str) -> float | None:
    for part in name.split('.'):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return float(tree) if isinstance(tree, int | float) else None


def means(study: Study, table: Table) -> Iterator[dict[str, Any]]:
    """Yield the mean of each arm, budget and measure.

    Args:
        study: The study.
        table: Its figures.

    Yields:
        Rows of plain values.
    """
    for budget in study.budgets:
        for measure in study.measures:
            for arm in study.arms:
                if values := table.values(arm, budget, measure):
                    yield dict(arm=arm, budget=budget, measure=measure.title, **spread(list(values.values()))._asdict())


def differences(study: Study, table: Table) -> Iterator[dict[str, Any]]:
    """Yield what one arm of each pair has more than the other, by seed.

    Args:
        study: The study.
        table: Its figures.

    Yields:
        Rows of plain values; ``is_better`` says whether the difference is in favour of the first.
    """
    for budget in study.budgets:
        for first, second in study.pairs:
            for measure in study.measures:
                found = difference(*(table.values(arm, budget, measure) for arm in (first, second)))
                if found is not None:
                    yield dict(
                        first=first,
                        second=second,
                        budget=budget,
                        measure=measure.title,
                        **found._asdict(),
                        is_beyond_two=found.is_beyond_two,
                        is_better=(found.mean > 0) == measure.higher_is_better and found.mean != 0,
                    )


def table_lines(study: Study, results: Mapping[str, Any]) -> list[str]:
    """Write the tables: means of the arms, and differences of the pairs.

    Args:
        study: The study.
        results: What ``results.json`` holds.

    Returns:
        Lines of Markdown.
    """
    known = {(row['arm'], row['budget'], row['measure']): row for row in results['means']}
    compared = {(row['first'], row['second'], row['budget'], row['measure']): row for row in results['differences']}
    lines = []
    for budget in study.budgets:
        head = ['measure', *study.arms]
        lines += [f'## Budget {budget:g}', '', *_head(head)]
        for measure in study.measures:
            cells = [_shown(known.get((arm, budget, measure.title))) for arm in study.arms]
            lines.append(_row([measure.label, *cells]))
        lines.append('')
        if study.pairs:
            lines += _head(['difference by seed', *(f'{first} - {second}' for first, second in study.pairs)])
            for measure in study.measures:
                cells = [_judged(compared.get((*pair, budget, measure.title))) for pair in study.pairs]
                lines.append(_row([measure.label, *cells]))
            lines.append('')
    return lines


def _head(names: list[str]) -> list[str]:
    return [_row(names), _row(['---'] * len(names))]


def _row(cells: list[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _shown(row: Mapping[str, Any] | None, sign: str = '') -> str:
    if row is None:
        return '\N{EN DASH}'
    found = Spread(row['seeds'], row['mean'], row['error'])
    error = '' if found.error is None else f' \N{PLUS-MINUS SIGN} {found.error:.2f}'
    return f'{found.mean:{sign}.2f}{error} ({found.seeds})'


def _judged(row: Mapping[str, Any] | None) -> str:
    text = _shown(row, '+')
    if row is None or not row['is_beyond_two']:
        return text
    return f'**{text}** {"better" if row["is_better"] else "worse"}'


def page(study: Study, results: Mapping[str, Any], table: str, pictures: list[str], command: str) -> str:
    """Write the page of a study.

    Args:
        study: The study.
        results: What ``results.json`` holds.
        table: The tables, Markdown.
        pictures: Names of the plots.
        command: What was run.

    Returns:
        Markdown.
    """
    commits = sorted({run['commit'] for row in results['figures'] for run in row['runs']})
    lines = [f'# {study.title}', '']
    lines += [study.text.strip(), ''] if study.text else []
    lines += [
        f'`{command}`; {duration(results["seconds"])} of runs with one thread each'
        + (f', commit {", ".join(one[:12] for one in commits if one)}' if any(commits) else '')
        + '. All figures, with config, changes, seed and commit, are in `results.json`.',
        '',
        'Mean over seeds \N{PLUS-MINUS SIGN} standard error (number of seeds). Differences are taken seed by seed; '
        'bold ones are beyond two standard errors, which one in twenty is by chance, or more of few seeds.',
        '',
    ]
    if results['missing']:
        lines += [f'**{results["missing"]} figures are missing:** their runs are not done.', '']
    lines += [table]
    lines += [f'![{Path(name).stem}]({name})\n' for name in pictures]
    return '\n'.join(lines)
