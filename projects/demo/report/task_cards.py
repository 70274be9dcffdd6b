"""Examples of what finetuned models said, for each kind of task."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from omnivl.commands.pages.grids import (
    Card,
    CardGrid,
    Piece,
    RetrievalGrid,
    Row,
    caption_cards,
    choose_examples,
    retrieval_grid,
    show,
)
from omnivl.commands.pages.media import MediaReader

from .task_files import TaskRun, answer_of, truth_of

# Predictions -> whose answer it is, on the page.
SPEAKERS = {'finetuned': 'finetuned', 'from_scratch': 'from scratch', 'shuffled': 'shuffled'}


def task_examples(run: TaskRun, media: MediaReader) -> RetrievalGrid | CardGrid:
    """Show what the finetuned model said of a few visuals of the test set.

    Args:
        run: The task.
        media: Reads the visuals.

    Returns:
        Cards, of a kind that suits the task.
    """
    rows = run.predictions['finetuned']
    modality = rows[0].get('modality', 'image')
    if 'top_visuals' in rows[0]:
        return retrieval_grid(rows, modality, media, count=2)
    if 'references' in rows[0]:
        rows = [_with_nearest(row) for row in rows]
        return caption_cards(rows, modality, media, count=4)
    return answer_cards(run.predictions, modality, media)


def _with_nearest(row: Row) -> dict[str, Any]:
    said = row['greedy'] if 'greedy' in row else row['beam']
    return {**row, 'greedy': said, 'references': nearest_first(said, row['references'])}


def nearest_first(said: str, references: Sequence[str]) -> list[str]:
    """Put that reference first which a caption is most like, so that it is compared with what it means to say."""
    return sorted(references, key=lambda text: -SequenceMatcher(None, said.split(), text.split()).ratio())


def answer_cards(
    predictions: Mapping[str, Sequence[Row]], modality: str, media: MediaReader, count: int = 4
) -> CardGrid:
    """Show answers, classes or chosen sentences beside the truth.

    Args:
        predictions: ``'finetuned'`` and others -> rows.
        modality: ``'image'`` or ``'video'``.
        media: Reads the visuals.
        count: How many to show.

    Returns:
        One card per visual, with what each model said of it.
    """
    rows = predictions['finetuned']
    others = {name: {_key(row): row for row in predictions[name]} for name in SPEAKERS if name in predictions}
    cards = []
    for index in choose_examples([answer_of(row) == truth_of(row) for row in rows], count):
        row = rows[index]
        truth = truth_of(row)
        lines = [('question', [Piece(row['question'])])] if 'question' in row else []
        lines.append(('truth', [Piece(truth)]))
        for name, by_key in others.items():
            if _key(row) in by_key:
                answer = answer_of(by_key[_key(row)])
                lines.append((SPEAKERS[name], [Piece(answer, answer == truth)]))
        cards.append(Card(show(row, truth, media), lines))
    return CardGrid(modality, cards)


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row['source'], row['sample_id']
