"""Ranking a gallery for many queries, in chunks shared out over the ranks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info

from .functional import best_true_ranks, top_indices


@dataclass
class Direction:
    """One way of searching: texts for visuals, or visuals for texts.

    Attributes:
        name: ``'t2i'``, ``'i2t'``, ``'t2v'`` or ``'v2t'``.
        queries: Unit vectors; float32 (Q, E).
        gallery: Unit vectors; float32 (N, E).
        truth: The pairs (query, item) that belong together, sorted by query; int64 (P, 2).
    """

    name: str
    queries: np.ndarray
    gallery: np.ndarray
    truth: np.ndarray

    @property
    def true_counts(self) -> np.ndarray:
        """The number of true items of each query; int64 (Q,)."""
        return np.bincount(self.truth[:, 0], minlength=len(self.queries))

    def is_true(self, start: int, stop: int) -> np.ndarray:
        """Mark the items that are true for the queries ``start..stop``; bool (stop - start, N)."""
        first, last = np.searchsorted(self.truth[:, 0], [start, stop])
        mask = np.zeros((stop - start, len(self.gallery)), dtype=bool)
        mask[self.truth[first:last, 0] - start, self.truth[first:last, 1]] = True
        return mask

    def top_is_true(self, top: np.ndarray) -> np.ndarray:
        """Mark those of the items ``top``, int64 (Q, K), that are true for their query; bool (Q, K)."""
        size = len(self.gallery)
        codes = np.arange(len(top))[:, None] * size + top
        return np.isin(codes, self.truth[:, 0] * size + self.truth[:, 1])


@dataclass
class Ranking:
    """The order of the gallery for each query, as far as it is needed.

    Attributes:
        ranks: Rank of the best true item; int64 (Q,).
        top: The first K items; int64 (Q, K).
        similarity: Their cosine similarities; float32 (Q, K).
    """

    ranks: np.ndarray
    top: np.ndarray
    similarity: np.ndarray


def rank_gallery(direction: Direction, top: int, chunk: int = 256) -> Ranking:
    """Rank the gallery by cosine similarity.

    The matrix of all similarities is never there as a whole: 25 000 captions and 5 000 images would fill half a
    gigabyte each way.

    Args:
        direction: Queries, gallery, truth; the same on every rank.
        top: Number K of items to return, cut to the size of the gallery.
        chunk: Queries at a time.

    Returns:
        The ranking, the same on every rank.
    """
    parts: dict[int, tuple[np.ndarray, ...]] = {}
    for start, similarity in _my_chunks(direction, chunk):
        ranks = best_true_ranks(similarity, direction.is_true(start, start + len(similarity)))
        best = top_indices(similarity, top)
        parts[start] = ranks, best, np.take_along_axis(similarity, best, axis=1)
    return Ranking(*(np.concatenate(column) for column in zip(*_of_all_ranks(parts))))


def dual_softmax_ranks(direction: Direction, temperature: float, chunk: int = 256) -> np.ndarray:
    """Rank by similarity times its softmax over all queries, so that an item goes to the queries that claim it most.

    CAMoE's dual softmax (2109.04290), with the temperature of the model's contrastive loss. It is
    transductive: the score of a pair depends on all queries of the test set. Double precision, since the weights of
    most pairs are tiny. Queries go in chunks; the ranks of the best true items, int64 (Q,), are the same on every rank.
    """
    sums = {
        start: np.logaddexp.reduce(similarity.astype(np.float64) / temperature, axis=0)
        for start, similarity in _my_chunks(direction, chunk)
    }
    log_sum = np.logaddexp.reduce(_of_all_ranks(sums), axis=0)  # (N,)
    ranks = {}
    for start, similarity in _my_chunks(direction, chunk):
        similarity = similarity.astype(np.float64)
        weighed = similarity * np.exp(similarity / temperature - log_sum)
        ranks[start] = best_true_ranks(weighed, direction.is_true(start, start + len(similarity)))
    return np.concatenate(_of_all_ranks(ranks))


def _my_chunks(direction: Direction, chunk: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield first query and similarities, float32 (up to ``chunk``, N), of each of this rank's chunks.

    Equal items get equal similarities: a matrix product may round its columns differently, and a tie that is broken by
    that would not count against the model.
    """
    rank, world_size = get_dist_info()
    items, item_of = np.unique(direction.gallery, axis=0, return_inverse=True)
    item_of = item_of.reshape(-1)  # numpy 2.0 has another shape
    for start in range(rank * chunk, len(direction.queries), world_size * chunk):
        yield start, (direction.queries[start : start + chunk] @ items.T)[:, item_of]


def _of_all_ranks(parts: dict[int, Any]) -> list[Any]:
    """Gather what all ranks have made of their chunks, in the order of the queries."""
    everything = {start: part for rank_parts in all_gather_object(parts) for start, part in rank_parts.items()}
    return [everything[start] for start in sorted(everything)]
