"""Figures as bars, tables and confusion matrices: small pure functions from numbers to what a page shows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from omnivl.commands.pages import percent

from .measures import DIRECTIONS, HEADINGS, MEASURES, Measure
from .run_files import MODALITIES, RunFiles


class Bar(NamedTuple):
    """A headline figure.

    Attributes:
        measure: What it measures.
        value: Percent.
        chance: Percent by guessing, or ``None``.
    """

    measure: Measure
    value: float
    chance: float | None

    @property
    def notes(self) -> list[str]:
        """What the marks on the bar say, in words."""
        notes = [] if self.chance is None else [f'chance {percent(self.chance)}']
        verdict = 'reached' if self.value >= self.measure.target else 'not reached'
        return [*notes, f'target {self.measure.target:.0f}% {verdict}']


class BarGroup(NamedTuple):
    """The headline figures of one modality."""

    modality: str
    title: str
    bars: list[Bar]


class Table(NamedTuple):
    """A table whose first column names the rows."""

    title: str
    head: list[str]
    rows: list[list[str]]


class SeenPair(NamedTuple):
    """One figure, in percent, on the usual test set and on combinations that training never had."""

    modality: str
    title: str
    seen: float
    unseen: float


class Confusion(NamedTuple):
    """What was taken for what.

    Attributes:
        modality: Decides the colour.
        title: With the figure that it comes from.
        names: The classes.
        rows: True class -> percent of it that was taken for each class.
    """

    modality: str
    title: str
    names: list[str]
    rows: list[tuple[str, list[float]]]


def headline_bars(run: RunFiles) -> list[BarGroup]:
    """Gather the headline figures of each modality that has some."""
    groups = []
    for modality in MODALITIES:
        found = [(measure, run.get(measure.name)) for measure in MEASURES[modality]]
        bars = [Bar(measure, value, run.get(measure.name, 'chance')) for measure, value in found if value is not None]
        if bars:
            groups.append(BarGroup(modality, HEADINGS[modality], bars))
    return groups


def all_tables(run: RunFiles) -> list[Table]:
    """Gather the tables that have a row."""
    tables = [make(run, modality) for modality in MODALITIES for make in (retrieval_table, caption_table)]
    return [table for table in tables if table.rows]


def retrieval_table(run: RunFiles, modality: str) -> Table:
    """Gather all retrieval figures of one modality: features alone, re-ranked, and on unseen combinations.

    Args:
        run: The run.
        modality: ``'image'`` or ``'video'``.

    Returns:
        A table.
    """
    rows = []
    for direction, title in DIRECTIONS[modality].items():
        for k in (1, 5, 10):
            name = f'{modality}.retrieval.{direction}_r{k}'
            values = [run.get(name + end) for end in ('', '_reranked', '_unseen', '_reranked_unseen')]
            if values[0] is not None:
                rows.append([f'{title}, R@{k}', *map(percent, values), percent(run.get(name, 'chance'))])
    head = ['', 'features', 're-ranked', 'unseen', 'unseen, re-ranked', 'chance']
    return Table(f'{HEADINGS[modality]}: retrieval', head, rows)


def caption_table(run: RunFiles, modality: str) -> Table:
    """Gather all caption figures of one modality, by greedy and by beam search.

    Args:
        run: The run.
        modality: ``'image'`` or ``'video'``.

    Returns:
        A table.
    """
    found = run.metrics.get(modality, {}).get('caption', {})
    slots = [name for name in found if name.startswith('slots_') and not name.endswith(('_beam', '_unseen'))]
    titles = {'exact': 'whole caption right', 'words': 'words right', 'slots': 'attributes right'}
    titles |= {name: '· ' + name.removeprefix('slots_').replace('_', ' ') for name in slots}
    rows = []
    for name, title in titles.items():
        values = [run.get(f'{modality}.caption.{name}{end}') for end in ('', '_beam', '_unseen', '_beam_unseen')]
        if values[0] is not None:
            chance = run.get(f'{modality}.caption.{name}', 'chance')
            rows.append([title, *map(percent, values), percent(chance)])
    head = ['', 'greedy', 'beam', 'unseen', 'unseen, beam', 'chance']
    return Table(f'{HEADINGS[modality]}: captions', head, rows)


def seen_and_unseen(run: RunFiles) -> list[SeenPair]:
    """Gather the headline figures that were measured on seen and on unseen combinations."""
    pairs = []
    for modality in MODALITIES:
        for measure in MEASURES[modality]:
            seen, unseen = run.get(measure.name), run.get(measure.name + '_unseen')
            if seen is not None and unseen is not None:
                title = f'{HEADINGS[modality]}: {measure.title.lower()}'
                pairs.append(SeenPair(modality, title, seen, unseen))
    return pairs


def confusion_matrix(labels: Sequence[str], predicted: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Count what was taken for what.

    Args:
        labels: True class of each sample.
        predicted: Predicted class of each sample.

    Returns:
        The classes in the order they first occur among the labels (those only predicted at the end), and counts
        int64 (C, C): row = truth, column = prediction.
    """
    classes = list(dict.fromkeys([*labels, *predicted]))
    place = {name: index for index, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, ([place[name] for name in labels], [place[name] for name in predicted]), 1)
    return classes, counts


def confusions(run: RunFiles) -> list[Confusion]:
    """Gather the confusion matrices of zero-shot classification, in percent of the truth."""
    found = []
    for modality in MODALITIES:
        rows = run.predictions.get(f'{modality}.zero_shot')
        if not rows:
            continue
        names, counts = confusion_matrix([row['label'] for row in rows], [row['predicted'] for row in rows])
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        metric = f'{modality}.zero_shot.top1'
        title = f'{HEADINGS[modality]}: {percent(run.get(metric))} right, chance {percent(run.get(metric, "chance"))}'
        found.append(Confusion(modality, title, names, list(zip(names, shares.tolist()))))
    return found
