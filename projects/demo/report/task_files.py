"""Reads what the tests of the downstream tasks have left on disk."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError

from .task_measures import DIRECTION, HEADLINES, Headline

VARIANTS = ('from_scratch', 'finetuned')
SHUFFLED = '_shuffled'
# Words that tell a motion of the demo's world from the same played backwards; its texts about clips have no other use
# for them.
BACKWARDS = {
    **{'left': 'right', 'up': 'down', 'growing': 'shrinking', 'grows': 'shrinks'},
    **{'appearing': 'disappearing', 'appears': 'disappears'},
}
BACKWARDS |= {second: first for first, second in BACKWARDS.items()}

Rows = list[dict[str, Any]]


@dataclass
class Figures:
    """One metric in all the ways that it was measured; ``None`` = not measured.

    Attributes:
        metric: Dotted name in the ``metrics.json`` of the tests.
        chance: Figure of an answer that ignores the visual.
        from_scratch: Of the model trained from random weights.
        finetuned: Of the model trained from the pretrained one.
        shuffled: Of the latter on clips whose frames are shuffled.
    """

    metric: str
    chance: float | None
    from_scratch: float | None
    finetuned: float | None
    shuffled: float | None = None

    @property
    def is_percent(self) -> bool:
        """Whether 100 is the most there can be; CIDEr has no such bound."""
        return 'cider' not in self.metric


@dataclass
class TaskRun:
    """What the tests of one task found.

    Attributes:
        task: Name of its config in ``projects/demo/configs``.
        figures: The headline first, then further ones.
        predictions: ``'from_scratch'``, ``'finetuned'`` and maybe ``'shuffled'`` -> rows.
        checkpoints: Variant -> what was tested; ``None`` = random weights.
        seconds: What was done, e.g. ``'finetuned'`` (its training), ``'finetuned/test'`` -> seconds.
        protocol: How the figures were made.
    """

    task: str
    figures: list[Figures]
    predictions: dict[str, Rows]
    checkpoints: dict[str, str | None]
    seconds: dict[str, float] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)

    @property
    def headline(self) -> Headline:
        """What stands for the task."""
        return HEADLINES[self.task]

    @property
    def config(self) -> str:
        """Path of its config."""
        return f'projects/demo/configs/{self.task}.py'

    def entry(self) -> dict[str, Any]:
        """Return what ``metrics.json`` says of the task."""
        first, *others = (_without_none(asdict(figures)) for figures in self.figures)
        more = {figures.pop('metric'): figures for figures in others}
        return first | dict(
            more=more,
            config=self.config,
            checkpoints=self.checkpoints,
            seconds=self.seconds,
            protocol=self.protocol,
        )


def read_tasks(work_dir: Path) -> tuple[dict[str, TaskRun], list[str]]:
    """Read all tasks whose tests are there.

    Args:
        work_dir: Holds ``<task>/<variant>/test`` and ``seconds.json``.

    Returns:
        Task -> what was found, and the names of tasks that have only one of the two tests.

    Raises:
        OmniVLFileNotFoundError: No task has both tests.
        OmniVLValueError: A test has none of the figures that stand for its task.
    """
    seconds = _read_json(work_dir / 'seconds.json') if (work_dir / 'seconds.json').exists() else {}
    runs, unfinished = {}, []
    for task in HEADLINES:
        tests = {variant: work_dir / task / variant / 'test' for variant in VARIANTS}
        there = [(folder / 'metrics.json').exists() for folder in tests.values()]
        if all(there):
            runs[task] = read_task(task, tests, seconds)
        elif any(there):
            unfinished.append(task)
    if not runs:
        raise OmniVLFileNotFoundError(
            f'{work_dir} has no task with both of its tests ({task}/{"/test, ".join(VARIANTS)}/test): run '
            '`bash tools/demo_tasks.sh`'
        )
    return runs, unfinished


def read_task(task: str, tests: Mapping[str, Path], seconds: Mapping[str, float]) -> TaskRun:
    """Read the tests of one task.

    Args:
        task: One of ``HEADLINES``.
        tests: Variant -> folder of its test.
        seconds: Step of the script -> seconds.

    Returns:
        What was found.

    Raises:
        OmniVLValueError: A test has none of the figures that stand for its task.
    """
    trees = {variant: _read_json(folder / 'metrics.json') for variant, folder in tests.items()}
    tree, folder = trees['finetuned'], tests['finetuned']
    name = next(name for name in tree['protocol'] if not name.endswith(SHUFFLED))
    predictions = {variant: _read_json(tests[variant] / f'predictions/{name}.json') for variant in VARIANTS}
    if name + SHUFFLED in tree['protocol']:
        predictions['shuffled'] = _read_json(folder / f'predictions/{name}{SHUFFLED}.json')
    headline = HEADLINES[task]
    metric = next((metric for metric in headline.metrics if look_up(tree, f'{name}.{metric}') is not None), None)
    if metric is None:
        raise OmniVLValueError(
            f'{folder / "metrics.json"} has none of {[f"{name}.{metric}" for metric in headline.metrics]}, which stand '
            f'for {task}; HEADLINES in projects/demo/report/task_measures.py says which do'
        )
    figures = [direction(name, predictions) if m == DIRECTION else measured(name, m, trees) for m in headline.more]
    return TaskRun(
        task,
        [measured(name, metric, trees), *(found for found in figures if found.finetuned is not None)],
        predictions,
        {variant: trees[variant].get('run', {}).get('checkpoint') for variant in VARIANTS},
        {key.removeprefix(f'{task}/'): value for key, value in seconds.items() if key.startswith(f'{task}/')},
        tree['protocol'][name],
    )


def measured(name: str, metric: str, trees: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Gather a metric that the tests have written.

    Args:
        name: Name of the evaluation.
        metric: Its metric.
        trees: Variant -> what its test wrote.

    Returns:
        The figures.
    """
    full = f'{name}.{metric}'
    return Figures(
        full,
        look_up(trees['finetuned'].get('chance', {}), full),
        look_up(trees['from_scratch'], full),
        look_up(trees['finetuned'], full),
        look_up(trees['finetuned'], f'{name}{SHUFFLED}.{metric}'),
    )


def direction(name: str, predictions: Mapping[str, Rows]) -> Figures:
    """Reckon how often a motion is told from its reverse, see ``direction_of``.

    Args:
        name: Name of the evaluation.
        predictions: ``'from_scratch'``, ``'finetuned'`` and maybe ``'shuffled'`` -> rows.

    Returns:
        The figures, in percent; chance is that of a coin.
    """
    shares = {variant: direction_of(rows) for variant, rows in predictions.items()}
    return Figures(f'{name}.{DIRECTION}', 50.0, shares['from_scratch'], shares['finetuned'], shares.get('shuffled'))


def direction_of(rows: Rows) -> float | None:
    """Reckon how often a motion is told from its reverse.

    A motion and its reverse have the same frames. Shuffled frames still tell that it is one of the two, and only the
    order of the frames which: of the predictions that name either, the share that names the right one.

    Args:
        rows: Predictions of an evaluation.

    Returns:
        The share in percent; ``None`` where no prediction names either.
    """
    pairs = [(truth_of(row).lower(), answer_of(row).lower()) for row in rows]
    right = [
        answer == truth
        for truth, answer in pairs
        if truth != reverse_of(truth) and answer in (truth, reverse_of(truth))
    ]
    return 100 * sum(right) / len(right) if right else None


def reverse_of(text: str) -> str:
    """Tell what the same clip played backwards shows; the text itself if it names no motion."""
    return ' '.join(BACKWARDS.get(word, word) for word in text.split())


def truth_of(row: Mapping[str, Any]) -> str:
    """Return the true answer, sentence or class of a prediction."""
    if 'answers' in row:
        return row['answers'][0]
    return row['choices'][row['answer_index']] if 'choices' in row else row['label']


def answer_of(row: Mapping[str, Any]) -> str:
    """Return what the model said: the ranked answer, the chosen sentence, the likeliest class."""
    if 'answers' in row:
        return row['rank']
    return row['choices'][row['predicted']] if 'choices' in row else row['predicted']


def look_up(tree: Mapping[str, Any], name: str) -> float | None:
    """Look up a number by its dotted name.

    Args:
        tree: Nested names.
        name: E.g. ``'image.qa.accuracy'``.

    Returns:
        The number, or ``None`` if there is none.
    """
    node: Any = tree
    for key in name.split('.'):
        if not isinstance(node, Mapping) or key not in node:
            return None
        node = node[key]
    return float(node) if isinstance(node, int | float) else None


def _without_none(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not measured, but for the columns that every task has."""
    return {key: value for key, value in figures.items() if value is not None or key != 'shuffled'}


def _read_json(file: Path) -> Any:
    with file.open(encoding='utf-8') as stream:
        return json.load(stream)
