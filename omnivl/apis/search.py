"""The order of a gallery for each query: by similarity, then by the alignment decoder where that is asked for."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from omnivl.evaluation.functional import top_indices
from omnivl.evaluation.reranking import PairLogits, combine, score_pairs

VISUAL_BATCH = 32  # visuals whose keys and values are on the device at a time
PAIR_BATCH = 128  # visual-text pairs per forward pass of the alignment decoder


def rank(similarity: np.ndarray, k: int) -> np.ndarray:
    """Find the first items of each query by similarity, float32 (Q, N) to int64 (Q, min(k, N)), best first."""
    return top_indices(similarity, k)


def pairs_of(top: np.ndarray, queries_are_texts: bool) -> np.ndarray:
    """List (visual, text) of each query and its first items, sorted; int64 (Q, K) to (Q * K, 2)."""
    queries = np.repeat(np.arange(len(top)), top.shape[1])
    columns = (top.ravel(), queries) if queries_are_texts else (queries, top.ravel())
    pairs = np.stack(columns, axis=1)
    return pairs[np.lexsort(pairs.T[::-1])]


def score_first(
    model: nn.Module,
    tokens: Mapping[int, Tensor],
    texts: Sequence[np.ndarray],
    top: np.ndarray,
    similarity: np.ndarray,
    queries_are_texts: bool,
    rerank_with: str,
    temperature: float | None,
) -> np.ndarray:
    """Score the first items of each query by the alignment decoder.

    Args:
        model: The model.
        tokens: Visual -> its tokens, float (S, D).
        texts: Word pieces of all texts; int64 (L_i,) each.
        top: The first items of each query; int64 (Q, K).
        similarity: Their cosine similarities; float32 (Q, K).
        queries_are_texts: Whether texts look for visuals, and not the other way.
        rerank_with: See ``omnivl/evaluation/reranking.py``.
        temperature: Of the contrastive loss; for ``'match+scaled_similarity'``.

    Returns:
        float32 (Q, K).
    """
    pairs = pairs_of(top, queries_are_texts)
    logits = _score(model, tokens, texts, pairs)
    queries = np.arange(len(top))[:, None]
    found = logits.get(top, queries) if queries_are_texts else logits.get(queries, top)
    return combine(found, similarity, rerank_with, temperature)


def _score(
    model: nn.Module, tokens: Mapping[int, Tensor], texts: Sequence[np.ndarray], pairs: np.ndarray
) -> PairLogits:
    """Score all pairs; images and videos have different numbers of tokens, so each kind is scored apart."""
    parts = []
    for length in sorted({len(of_one) for of_one in tokens.values()}):
        some = {visual: of_one for visual, of_one in tokens.items() if len(of_one) == length}
        mine = pairs[np.isin(pairs[:, 0], list(some))]
        parts.append(score_pairs(model, some, texts, mine, VISUAL_BATCH, PAIR_BATCH, 'retrieval'))
    codes = np.concatenate([part.codes for part in parts])
    order = np.argsort(codes)
    return PairLogits(codes[order], np.concatenate([part.logits for part in parts])[order], len(texts))


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
