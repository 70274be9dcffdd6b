"""Examples to look at: what was found for a caption, and captions beside the truth."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from .media import MediaReader, escape

Row = Mapping[str, Any]


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


def retrieval_grid(rows: Sequence[Row], modality: str, media: MediaReader, count: int = 6, top: int = 5) -> str:
    """Show for some captions which visuals the model put first.

    Args:
        rows: Predictions of a retrieval evaluation, one per visual of the test set.
        modality: ``'image'`` or ``'video'``; videos are shown as strips.
        media: Reads the visuals.
        count: Captions to show.
        top: Visuals to show for each.

    Returns:
        One card per caption; the right visual is framed.
    """
    by_id = {row['sample_id']: row for row in rows}
    rows = [row for row in rows if row.get('top_visuals')]
    right = [row['top_visuals'][0]['sample_id'] == row['sample_id'] for row in rows]
    cards = []
    for index in choose_examples(right, count):
        row = rows[index]
        hits = [by_id[hit['sample_id']] for hit in row['top_visuals'][:top] if hit['sample_id'] in by_id]
        figures = ''.join(
            _hit(hit, rank, hit['sample_id'] == row['sample_id'], media) for rank, hit in enumerate(hits, start=1)
        )
        found = any(hit['sample_id'] == row['sample_id'] for hit in hits)
        miss = '' if found else f'<p class="note">The right one is not among the first {len(hits)}.</p>'
        caption = escape(row['captions'][0])
        cards.append(
            f'<div class="card query"><p class="quote">{caption}</p>'
            f'<div class="hits {modality}">{figures}</div>{miss}</div>'
        )
    return f'<div class="{"two" if modality == "video" else "grid-queries"}">{"".join(cards)}</div>'


def _hit(row: Row, rank: int, right: bool, media: MediaReader) -> str:
    caption = row['captions'][0]
    mark = '<span class="tick" title="the right one">✓</span>' if right else ''
    return (
        f'<figure class="hit{" right" if right else ""}">'
        f'<span class="frame">{show(row, caption, media)}{mark}</span>'
        f'<figcaption><b>{rank}</b> {escape(caption)}</figcaption></figure>'
    )


def caption_cards(rows: Sequence[Row], modality: str, media: MediaReader, count: int = 8) -> str:
    """Show captions that the model wrote beside the true ones.

    Args:
        rows: Predictions of a caption evaluation.
        modality: ``'image'`` or ``'video'``.
        media: Reads the visuals.
        count: How many to show.

    Returns:
        One card per visual, wrong words marked.
    """
    right = [row['greedy'] in row['references'] for row in rows]
    cards = []
    for index in choose_examples(right, count):
        row = rows[index]
        truth = row['references'][0]
        said = mark_words(row['greedy'], truth)
        other = ''
        if row.get('beam') not in (None, row['greedy']):
            other = f'<dt>beam</dt><dd>{mark_words(row["beam"], truth)}</dd>'
        cards.append(
            f'<div class="card caption {modality}">{show(row, truth, media)}'
            f'<dl><dt>truth</dt><dd>{escape(truth)}</dd><dt>model</dt><dd>{said}</dd>{other}</dl></div>'
        )
    return f'<div class="captions {modality}">{"".join(cards)}</div>'


def show(row: Row, alt: str, media: MediaReader) -> str:
    """Show the visual of a row, or the part of it that is meant.

    Args:
        row: Has ``visual``, and ``clip`` if a part of the video is meant.
        alt: What can be seen, for those who cannot see it.
        media: Reads the visual.

    Returns:
        An ``<img>`` element.
    """
    return media.html(row['visual'], alt, tuple(row['clip']) if row.get('clip') else None)


def mark_words(said: str, truth: str) -> str:
    """Mark which words of a caption are right.

    Args:
        said: The caption that the model wrote.
        truth: The true caption.

    Returns:
        HTML: each run of words as ``<ins>`` (in the truth, in this order) or ``<del>`` (not so); a ``[…]`` stands where
        the caption leaves words out.
    """
    words, true_words = said.split(), truth.split()
    if not words:
        return '<del>(nothing)</del>'
    pieces = []
    for kind, start, end, _, _ in SequenceMatcher(None, words, true_words, autojunk=False).get_opcodes():
        text = escape(' '.join(words[start:end]))
        if kind == 'equal':
            pieces.append(f'<ins>{text}</ins>')
        elif text:
            pieces.append(f'<del>{text}</del>')
        else:
            pieces.append('<del>[…]</del>')
    return ' '.join(pieces)
