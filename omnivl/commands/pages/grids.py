"""Examples to look at: what was found for a caption, and captions beside the truth."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from .media import MediaReader, Picture

Row = Mapping[str, Any]


class Hit(NamedTuple):
    """A visual that a search found.

    Attributes:
        picture: The visual.
        caption: Its own caption.
        is_right: Whether it is the one that was meant.
    """

    picture: Picture
    caption: str
    is_right: bool


class Query(NamedTuple):
    """A caption and what was found for it.

    Attributes:
        caption: What was looked for.
        hits: The best first.
        is_found: Whether the right one is among them.
    """

    caption: str
    hits: list[Hit]
    is_found: bool


class RetrievalGrid(NamedTuple):
    """Searches for visuals of one modality."""

    modality: str
    queries: list[Query]


class Piece(NamedTuple):
    """A run of words, and whether they are right; ``None`` where there is nothing to be right about."""

    text: str
    is_right: bool | None = None


class Card(NamedTuple):
    """A visual and what is said of it.

    Attributes:
        picture: The visual.
        lines: Who says it, and what.
    """

    picture: Picture
    lines: list[tuple[str, list[Piece]]]


class CardGrid(NamedTuple):
    """Cards of one modality."""

    modality: str
    cards: list[Card]


def choose_examples(right: Sequence[bool], count: int, wrong: int = 2) -> list[int]:
    """Choose what to show without picking the best: the first ones, and where they hide them, some that went wrong.

    Args:
        right: For each example in the order of the test set, whether it is right.
        count: How many to choose.
        wrong: How many of those should be wrong ones, as far as there are.

    Returns:
        Positions, increasing.
    """
    chosen = list(range(min(count, len(right))))
    missing = wrong - sum(not right[index] for index in chosen)
    later = [index for index in range(len(chosen), len(right)) if not right[index]][: max(missing, 0)]
    replaceable = [index for index in reversed(chosen) if right[index]][: len(later)]
    return sorted(set(chosen) - set(replaceable) | set(later))


def retrieval_grid(
    rows: Sequence[Row], modality: str, media: MediaReader, count: int = 6, top: int = 5
) -> RetrievalGrid:
    """Gather for some captions which visuals the model put first.

    Args:
        rows: Predictions of a retrieval evaluation, one per visual of the test set.
        modality: ``'image'`` or ``'video'``; videos are shown as strips.
        media: Reads the visuals.
        count: Captions to show.
        top: Visuals to show for each.

    Returns:
        The searches.
    """
    by_id = {row['sample_id']: row for row in rows}
    rows = [row for row in rows if row.get('top_visuals')]
    right = [row['top_visuals'][0]['sample_id'] == row['sample_id'] for row in rows]
    queries = []
    for index in choose_examples(right, count):
        row = rows[index]
        found = [by_id[hit['sample_id']] for hit in row['top_visuals'][:top] if hit['sample_id'] in by_id]
        hits = [
            Hit(show(hit, hit['captions'][0], media), hit['captions'][0], hit['sample_id'] == row['sample_id'])
            for hit in found
        ]
        queries.append(Query(row['captions'][0], hits, any(hit.is_right for hit in hits)))
    return RetrievalGrid(modality, queries)


def caption_cards(rows: Sequence[Row], modality: str, media: MediaReader, count: int = 8) -> CardGrid:
    """Gather captions that the model wrote beside the true ones, their words marked.

    Args:
        rows: Predictions of a caption evaluation.
        modality: ``'image'`` or ``'video'``.
        media: Reads the visuals.
        count: How many to show.

    Returns:
        One card per visual.
    """
    right = [row['greedy'] in row['references'] for row in rows]
    cards = []
    for index in choose_examples(right, count):
        row = rows[index]
        truth = row['references'][0]
        lines = [('truth', [Piece(truth)]), ('model', mark_words(row['greedy'], truth))]
        if row.get('beam') not in (None, row['greedy']):
            lines.append(('beam', mark_words(row['beam'], truth)))
        cards.append(Card(show(row, truth, media), lines))
    return CardGrid(modality, cards)


def show(row: Row, alt: str, media: MediaReader) -> Picture:
    """Show the visual of a row, or the part of it that is meant.

    Args:
        row: Has ``visual``, and ``clip`` if a part of the video is meant.
        alt: What can be seen, for those who cannot see it.
        media: Reads the visual.

    Returns:
        What a page shows.
    """
    return media.show(row['visual'], alt, tuple(row['clip']) if row.get('clip') else None)


def mark_words(said: str, truth: str) -> list[Piece]:
    """Mark which words of a caption are right.

    Args:
        said: The caption that the model wrote.
        truth: The true caption.

    Returns:
        Runs of words, right where they are in the truth, in this order; a ``[…]`` stands where the caption leaves words
        out.
    """
    words, true_words = said.split(), truth.split()
    if not words:
        return [Piece('(nothing)', False)]
    matcher = SequenceMatcher(None, words, true_words, autojunk=False)
    return [
        Piece(' '.join(words[start:end]) or '[…]', kind == 'equal') for kind, start, end, _, _ in matcher.get_opcodes()
    ]
