"""Ranking a gallery for many queries, in chunks shared out over the ranks."""

from dataclasses import dataclass

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
        """Number of true items of each query; int64 (Q,)."""
        return np.bincount(self.truth[:, 0], minlength=len(self.queries))

    def is_true(self, start: int, stop: int) -> np.ndarray:
        """Which items are true for the queries ``start..stop``; bool (stop - start, N)."""
        first, last = np.searchsorted(self.truth[:, 0], [start, stop])
        mask = np.zeros((stop - start, len(self.gallery)), dtype=bool)
        mask[self.truth[first:last, 0] - start, self.truth[first:last, 1]] = True
        return mask

    def top_is_true(self, top: np.ndarray) -> np.ndarray:
        """Which of the items ``top``, int64 (Q, K), are true for their query; bool (Q, K)."""
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
    """Ranks the gallery by cosine similarity.

    The matrix of all similarities is never there as a whole: 25 000 captions and 5 000 images would fill half a
    gigabyte each way.

    Args:
        direction: Queries, gallery, truth; the same on every rank.
        top: Number K of items to return, cut to the size of the gallery.
        chunk: Queries at a time.

    Returns:
        The ranking, the same on every rank.
    """
    rank, world_size = get_dist_info()
    parts: dict[int, tuple[np.ndarray, ...]] = {}
    for start in range(rank * chunk, len(direction.queries), world_size * chunk):
        similarity = direction.queries[start : start + chunk] @ direction.gallery.T
        ranks = best_true_ranks(similarity, direction.is_true(start, start + len(similarity)))
        best = top_indices(similarity, top)
        parts[start] = ranks, best, np.take_along_axis(similarity, best, axis=1)
    everything = {start: part for rank_parts in all_gather_object(parts) for start, part in rank_parts.items()}
    return Ranking(*(np.concatenate(column) for column in zip(*(everything[start] for start in sorted(everything)))))
