"""Means, their errors, and differences by seed; pure functions."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple


class Spread(NamedTuple):
    """A mean over seeds.

    Attributes:
        seeds: How many.
        mean: Over them.
        error: Standard error of the mean, s / sqrt(n) with s of n - 1; None for one seed.
    """

    seeds: int
    mean: float
    error: float | None

    @property
    def is_beyond_two(self) -> bool:
        """Whether the mean is more than two standard errors from zero."""
        return self.error is not None and abs(self.mean) > 2 * self.error


def spread(values: Sequence[float]) -> Spread:
    """Take the mean of some figures, and its standard error.

    Args:
        values: At least one.

    Returns:
        Both.
    """
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Spread(len(values), fmean(values), error)


def difference(first: Mapping[int, float], second: Mapping[int, float]) -> Spread | None:
    """Compare two arms seed by seed, which takes out what a seed does to both.

    Args:
        first: Seed -> figure.
        second: Seed -> figure of what it is compared with.

    Returns:
        Of first minus second, over the seeds that both have; None if there is none.
    """
    shared = sorted(set(first) & set(second))
    return spread([first[seed] - second[seed] for seed in shared]) if shared else None
