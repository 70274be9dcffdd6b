"""Which loader gives the batch of which step: a pure function of the seed and the step, the same on every rank."""

import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from omnivl.errors import OmniVLValueError


class Mixture:
    """An endless alternation between names in exact proportions.

    Steps are dealt in blocks. A block holds every name as often as its proportion says (image 3, video 1: blocks of
    four) in an order shuffled by ``(seed, block)``, so shares are exact after each block, no name stays away for
    long, and the name of any step is known without going through those before it.

    Args:
        proportions: Name -> share, positive numbers of any scale.
        seed: Seed of the orders within the blocks.
    """

    def __init__(self, proportions: Mapping[str, float], seed: int) -> None:
        self.names = sorted(proportions)
        self.counts = _whole_numbers([proportions[name] for name in self.names])
        self.block = sum(self.counts)
        self.seed = seed
        self._cached: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def name_at(self, step: int) -> str:
        """Return the name of a step; steps count from 0."""
        return self.names[self._order(step // self.block)[step % self.block]]

    def counts_before(self, step: int) -> dict[str, int]:
        """Return how often each name comes before a step."""
        blocks, rest = divmod(step, self.block)
        partial = np.bincount(self._order(blocks)[:rest], minlength=len(self.names))
        return {name: blocks * self.counts[i] + int(partial[i]) for i, name in enumerate(self.names)}

    def step_after(self, name: str, count: int) -> int:
        """Return the number of steps until a name has come ``count`` times."""
        if count == 0:
            return 0
        index = self.names.index(name)
        blocks = (count - 1) // self.counts[index]
        places = np.flatnonzero(self._order(blocks) == index)
        return blocks * self.block + int(places[count - 1 - blocks * self.counts[index]]) + 1

    def _order(self, block: int) -> np.ndarray:
        if self._cached[0] != block:
            order = np.repeat(np.arange(len(self.names)), self.counts)
            np.random.default_rng([self.seed, block]).shuffle(order)
            self._cached = (block, order)
        return self._cached[1]


class Schedule:
    """The mixtures of a run, one after the other.

    Args:
        phases: ``(steps, proportions)`` of each phase; the steps of the last one may be ``None``, without end.
        seed: Seed of the alternation.
    """

    def __init__(self, phases: Sequence[tuple[int | None, Mapping[str, float]]], seed: int) -> None:
        self.mixtures = [Mixture(proportions, seed) for _, proportions in phases]
        self.starts = [0, *itertools.accumulate(steps for steps, _ in phases[:-1] if steps is not None)]
        last = phases[-1][0]
        self.steps = None if last is None else self.starts[-1] + last

    def name_at(self, step: int) -> str:
        """Return the name of the task that gives the batch of a step."""
        phase = self._phase(step)
        return self.mixtures[phase].name_at(step - self.starts[phase])

    def counts_before(self, step: int) -> dict[str, int]:
        """Return the number of batches of each task before a step."""
        total: dict[str, int] = {}
        ends = [*self.starts[1:], math.inf]
        for mixture, start, end in zip(self.mixtures, self.starts, ends):
            for name, count in mixture.counts_before(int(min(max(step - start, 0), end - start))).items():
                total[name] = total.get(name, 0) + count
        return total

    def step_after(self, name: str, count: int) -> int:
        """Return the number of steps until a task has given ``count`` batches."""
        ends = [*self.starts[1:], math.inf]
        for mixture, start, end in zip(self.mixtures, self.starts, ends):
            done = self.counts_before(start).get(name, 0)
            if name in mixture.names and start + (steps := mixture.step_after(name, count - done)) <= end:
                return start + steps
        raise OmniVLValueError(f'the schedule never comes to {count} batches of {name!r}')

    def run_length(self, name: str, count: int) -> int:
        """Return the length of a run that ends with ``count`` batches of a task.

        Steps of other tasks that complete the block, and with it the proportions, are part of it.
        """
        steps = self.step_after(name, count)
        phase = self._phase(steps - 1)
        block, start = self.mixtures[phase].block, self.starts[phase]
        whole = start + -(-(steps - start) // block) * block
        return whole if self.counts_before(whole)[name] == count else steps

    def _phase(self, step: int) -> int:
        return max(i for i, start in enumerate(self.starts) if start <= step)


def _whole_numbers(shares: Sequence[float]) -> list[int]:
    """Scale shares to the smallest whole numbers; shares like 0.333 are taken to three digits or so."""
    fractions = [Fraction(share).limit_denominator(1000) for share in shares]
    scale = math.lcm(*(fraction.denominator for fraction in fractions))
    numbers = [max(1, int(fraction * scale)) for fraction in fractions]
    divisor = math.gcd(*numbers)
    return [number // divisor for number in numbers]
