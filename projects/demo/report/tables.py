"""Figures as bars, tables and confusion matrices: small pure functions from numbers to HTML."""

from collections.abc import Iterable, Sequence

import numpy as np

from .measures import DIRECTIONS, HEADINGS, MEASURES, Measure
from .media import escape
from .run_files import MODALITIES, RunFiles


def percent(value: float | None, digits: int = 1) -> str:
    """Write a percentage, or a dash where there is none."""
    return '&ndash;' if value is None else f'{value:.{digits}f}%'


def headline_bars(run: RunFiles) -> str:
    """Show the headline figures beside chance and target.

    Args:
        run: The run.

    Returns:
        One card for images and one for videos.
    """
    cards = []
    for modality in MODALITIES:
        rows = [_bar(measure, run) for measure in MEASURES[modality] if run.get(measure.name) is not None]
        if rows:
            cards.append(f'<div class="card {modality}"><h3>{HEADINGS[modality]}</h3>{"".join(rows)}</div>')
    key = (
        '<p class="key"><span class="mark chance"></span> chance: what guessing gives '
        '<span class="mark target"></span> target: what a full run of the demo should reach</p>'
    )
    return f'<div class="two">{"".join(cards)}</div>{key}'


def _bar(measure: Measure, run: RunFiles) -> str:
    value, chance = run.get(measure.name), run.get(measure.name, 'chance')
    marks = ''
    notes = []
    if chance is not None:
        marks += f'<i class="mark chance" style="left:{chance:.1f}%"></i>'
        notes.append(f'chance {percent(chance)}')
    if measure.target is not None:
        marks += f'<i class="mark target" style="left:{measure.target:.1f}%"></i>'
        verdict = 'reached' if value >= measure.target else 'not reached'
        notes.append(f'target {measure.target:.0f}% {verdict}')
    return (
        f'<div class="measure"><div class="line"><b>{measure.title}</b>'
        f'<span class="value">{percent(value)}</span></div>'
        f'<div class="track"><span class="fill" style="width:{min(value, 100):.1f}%"></span>{marks}</div>'
        f'<p class="note">{escape(measure.meaning)} <span class="nowrap">{", ".join(notes)}</span></p></div>'
    )


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = '') -> str:
    """Make a table whose first column names the rows.

    Args:
        head: Titles of the columns.
        rows: Cells, already HTML.
        caption: Title of the table.

    Returns:
        A ``<table>`` that scrolls by itself on a narrow screen.
    """
    titles = ''.join(f'<th scope="col">{title}</th>' for title in head)
    body = ''.join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    caption = f'<caption>{caption}</caption>' if caption else ''
    return f'<div class="scroll"><table>{caption}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def retrieval_table(run: RunFiles, modality: str) -> str:
    """Show all retrieval figures of one modality: features alone, re-ranked, and on unseen combinations.

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
    return html_table(head, rows, f'{HEADINGS[modality]}: retrieval') if rows else ''


def caption_table(run: RunFiles, modality: str) -> str:
    """Show all caption figures of one modality, by greedy and by beam search.

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
    return html_table(head, rows, f'{HEADINGS[modality]}: captions') if rows else ''


def unseen_bars(run: RunFiles) -> str:
    """Set figures on seen and on unseen combinations side by side.

    Args:
        run: The run.

    Returns:
        One row per headline figure that has both, or ``''``.
    """
    rows = []
    for modality in MODALITIES:
        for measure in MEASURES[modality]:
            seen, unseen = run.get(measure.name), run.get(measure.name + '_unseen')
            if seen is None or unseen is None:
                continue
            bars = ''.join(
                f'<div class="track thin {kind}"><span class="fill" style="width:{value:.1f}%"></span></div>'
                f'<span class="value">{percent(value)}</span>'
                for kind, value in (('seen', seen), ('unseen', unseen))
            )
            rows.append(
                f'<div class="pair {modality}"><b>{HEADINGS[modality]}: {measure.title.lower()}</b>'
                f'<div class="pairbars">{bars}</div></div>'
            )
    return f'<div class="card">{"".join(rows)}</div>' if rows else ''


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


def confusion_table(labels: Sequence[str], predicted: Sequence[str], modality: str) -> str:
    """Draw a confusion matrix in percent of the truth.

    Args:
        labels: True class of each sample.
        predicted: Predicted class of each sample.
        modality: ``'image'`` or ``'video'``, decides the colour.

    Returns:
        A table whose cells are the darker the larger their share.
    """
    classes, counts = confusion_matrix(labels, predicted)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = ''.join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in classes)
    rows = ''
    for name, row, totals in zip(classes, shares, counts):
        cells = ''.join(
            f'<td style="--share:{share:.0f}%"{" class=strong" if share > 55 else ""}>'
            f'{f"{share:.0f}" if count else ""}</td>'
            for share, count in zip(row, totals)
        )
        rows += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    return (
        f'<div class="scroll"><table class="confusion {modality}"><thead><tr>'
        f'<th scope="col">truth ↓ &nbsp; taken for →</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
