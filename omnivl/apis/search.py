"""The order of a gallery for each query: by similarity, then by the alignment decoder where that is asked for."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from omnivl.evaluation.reranking import PairLogits, needed_pairs, score_pairs

VISUAL_BATCH = 32  # visuals whose keys and values are on the device at a time
PAIR_BATCH = 128  # visual-text pairs per forward pass of the alignment decoder


def first_logits(
    model: nn.Module,
    tokens: Mapping[int, Tensor],
    texts: Sequence[np.ndarray],
    top: np.ndarray,
    queries_are_texts: bool,
) -> np.ndarray:
    """Compute the match logits of each query and its first items.

    Args:
        model: Offers ``Matches``.
        tokens: Visual -> its tokens, float (S, D).
        texts: Word pieces of all texts; int64 (L_i,) each.
        top: The first items of each query; int64 (Q, K).
        queries_are_texts: Whether texts look for visuals, and not the other way.

    Returns:
        float32 (Q, K, 2).
    """
    queries = np.arange(len(top))[:, None]
    if queries_are_texts:
        pairs = needed_pairs(np.zeros((0, 0), dtype=np.int64), top)
        return _score(model, tokens, texts, pairs).get(top, queries)
    pairs = needed_pairs(top, np.zeros((len(texts), 0), dtype=np.int64))
    return _score(model, tokens, texts, pairs).get(queries, top)


def _score(
    model: nn.Module, tokens: Mapping[int, Tensor], texts: Sequence[np.ndarray], pairs: np.ndarray
) -> PairLogits:
    """Score all pairs; images and videos have different numbers of tokens, so each kind is scored apart."""
    parts = []
    for length in sorted({len(of_one) for of_one in tokens.values()}):
        some = {visual: of_one for visual, of_one in tokens.items() if len(of_one) == length}
        mine = pairs[np.isin(pairs[:, 0], list(some))]
        found = score_pairs(model, some, texts, mine, VISUAL_BATCH, PAIR_BATCH, 'retrieval')
        parts.append((found.codes, found.logits))
    return PairLogits.joined(parts, len(texts))


def results(
    names: Sequence[str], key: str, top: np.ndarray, similarity: np.ndarray, scores: np.ndarray | None, k: int
) -> list[list[dict[str, str | float]]]:
    """Write the rows of each query.

    Args:
        names: Names of the items of the gallery.
        key: What a row calls the name.
        top: Find the first items of each query by similarity; int64 (Q, K).
        similarity: Their cosine similarities; float32 (Q, K).
        scores: New scores of the first ones, which are put in order by them, before the others; float32 (Q, K') with
            K' <= K, or None.
        k: Rows per query.

    Returns:
        For each query its rows, best first.
    """
    found = []
    for query, items in enumerate(top):
        order, score = np.arange(len(items)), similarity[query].copy()
        if scores is not None:
            first = scores.shape[1]
            score[:first] = scores[query]
            order[:first] = np.argsort(-scores[query], kind='stable')
        found.append(
            [
                {key: names[items[place]], 'score': float(score[place]), 'similarity': float(similarity[query, place])}
                for place in order[:k]
            ]
        )
    return found
