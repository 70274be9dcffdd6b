"""What the captions of a retrieval evaluation are, and the rows of its predictions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .ranking import Direction, Ranking

SHOWN = 5  # items per query in the predictions


class CaptionTexts:
    """The captions of all visuals as one list of texts.

    Args:
        rows: One per visual, with ``captions`` and ``caption_ids``.
        merge: Whether equal captions are one text.

    Attributes:
        words: The texts.
        ids: The different rows of word pieces that they have, each int64 (L_i,).
        row: Which of these rows each text has, int64 (number of texts,): texts of one row are scored once, so that they
            tie exactly, whatever the last bits of a score depend on.
        of_visual: The texts of each visual, in the order of its captions.
        captions: Number of captions, equal ones counted as often as they occur.
        distinct: Number of different ones.
    """

    def __init__(self, rows: Sequence[dict[str, Any]], merge: bool) -> None:
        self.words: list[str] = []
        self.ids: list[np.ndarray] = []
        self.of_visual: list[list[int]] = []
        index_of: dict[Any, int] = {}
        rows_found: dict[bytes, int] = {}
        row_of_text: list[int] = []
        for row in rows:
            mine = []
            for caption, ids in zip(row['captions'], row['caption_ids']):
                key = caption if merge else len(self.words)
                if key not in index_of:
                    index_of[key] = len(self.words)
                    self.words.append(caption)
                    known = rows_found.setdefault(ids.tobytes(), len(self.ids))
                    row_of_text.append(known)
                    self.ids += [ids] if known == len(self.ids) else []
                mine.append(index_of[key])
            self.of_visual.append(mine)
        self.row = np.array(row_of_text)
        self.captions = sum(map(len, self.of_visual))
        self.distinct = len(set(self.words))


def prediction_rows(
    rows: Sequence[dict[str, Any]],
    texts: CaptionTexts,
    directions: Sequence[Direction],
    rankings: Sequence[Ranking],
    scores: Sequence[np.ndarray] | None,
    orders: Sequence[np.ndarray] | None,
    new_ranks: Sequence[np.ndarray] | None,
) -> list[dict[str, Any]]:
    """Write one row per visual, as ``RetrievalEvaluation`` describes them.

    Args:
        rows: What was gathered of each visual.
        texts: Its captions.
        directions: Texts to visuals, visuals to texts; so are all that follow.
        rankings: By similarity.
        scores: New scores of the first K items; None without re-ranking.
        orders: The new order as places in the ranking; None without re-ranking.
        new_ranks: None without re-ranking.

    Returns:
        Rows of plain values.
    """

    def top(direction: int, query: int) -> list[tuple[int, dict[str, float]]]:
        """List (item, its scores) of the first five."""
        ranking = rankings[direction]
        new_scores = [] if scores is None else scores[direction][query].tolist()
        order = range(ranking.top.shape[1]) if orders is None else orders[direction][query]
        found = []
        for place in list(order)[:SHOWN]:
            similarity = float(ranking.similarity[query, place])
            score = new_scores[place] if place < len(new_scores) else similarity
            found.append((int(ranking.top[query, place]), {'score': score, 'similarity': similarity}))
        return found

    def ranks(values: Sequence[np.ndarray], visual: int) -> dict[str, Any]:
        of_texts, of_visuals = values
        captions = [int(of_texts[text]) for text in texts.of_visual[visual]]
        return {directions[0].name: captions, directions[1].name: int(of_visuals[visual])}

    predictions = []
    for visual, row in enumerate(rows):
        prediction = {key: row[key] for key in ('sample_id', 'source', 'visual', 'modality', 'captions')}
        prediction['ranks'] = ranks([ranking.ranks for ranking in rankings], visual)
        if new_ranks is not None:
            prediction['ranks_reranked'] = ranks(new_ranks, visual)
        prediction['top_captions'] = [{'caption': texts.words[item]} | found for item, found in top(1, visual)]
        first_text = texts.of_visual[visual][0]
        prediction['top_visuals'] = [
            {'sample_id': rows[item]['sample_id']} | found for item, found in top(0, first_text)
        ]
        predictions.append(prediction)
    return predictions
