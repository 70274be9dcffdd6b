"""The order of the samples: seeded, independent of the number of processes, and resumable at any batch."""

from collections.abc import Callable, Iterator, Mapping, Sized
from typing import NamedTuple

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from omnivl.errors import OmniVLValueError
from omnivl.registry import DATA_SAMPLERS


class SampleKey(NamedTuple):
    """An item and how often its source was gone through before; all random draws of the sample follow from the two."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks a key for
    epoch: int


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler[SampleKey]):
    """Deal every epoch's order over the processes, one global batch after the other.

    The order is a permutation drawn from (seed, epoch). Global batch k is the same set of samples in the same order for
    any number of processes R, as long as ``R * batch_size`` is the same: process r takes its part of each global batch.

    Args:
        dataset: The dataset; with ``weights``, a MixedDataset.
        batch_size: Samples of one process per batch. Not needed without ``shuffle``, where every process gets its
            share, sample after sample.
        shuffle: Whether to permute.
        seed: Seed of the permutations, the same on all processes.
        drop_last: Whether samples that fill no global batch are left out, so that all processes have the same number of
            batches. None = as ``shuffle``. Otherwise every sample comes exactly once, and the number of samples per
            process differs by one at most.
        weights: Share of each source of a MixedDataset in an epoch, by name, in any unit; the length of an epoch stays.
            A source with more draws than samples is gone through several times. None = by size.
        window: Shards whose samples are mixed with each other, of each source, so that a disk or a network reads a few
            shards at a time, from the first to the last byte: the shards come in a drawn order, and in each run of so
            many the samples do. Sources of files are permuted as a whole. None = everything is.
        ahead: Shards of servers that are fetched before the first of their samples is asked for; None = as many as
            ``window``, 0 = none.
    """

    def __init__(
        self,
        dataset: Sized,
        batch_size: int | None = None,
        shuffle: bool = True,
        seed: int | None = 0,
        drop_last: bool | None = None,
        weights: Mapping[str, float] | None = None,
        window: int | None = None,
        ahead: int | None = None,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.shuffle = shuffle
        # MMEngine hands over None when the config sets no seed; an unseeded order could not be resumed.
        self.seed = 0 if seed is None else seed
        self.drop_last = shuffle if drop_last is None else drop_last
        if batch_size is None and self.drop_last:
            raise OmniVLValueError('EpochSampler: batch_size is missing; it must be the batch_size of the dataloader')
        if batch_size is not None and batch_size < 1:
            raise OmniVLValueError(f'EpochSampler: batch_size={batch_size}; it must be at least 1')
        self.batch_size = batch_size
        self.size = len(dataset)
        self._sources = _weighted_sources(dataset, weights, shuffle)
        self.window = window
        if window is not None:
            if not shuffle or window < 1:
                raise OmniVLValueError(f'EpochSampler: window={window} must be at least 1, and needs shuffle=True')
            self._group_ends = _group_ends(dataset)
            whole = [(start, stop, stop - start) for _, start, stop in getattr(dataset, 'sources', ())]
            self._sources = self._sources or whole or [(0, self.size, self.size)]
        if ahead is not None and (window is None or ahead < 0):
            raise OmniVLValueError(f'EpochSampler: ahead={ahead} must not be negative, and needs window')
        self.ahead = (window or 0) if ahead is None else ahead
        served = self.ahead > 0 and getattr(dataset, 'is_served', False)
        self._fetch_ahead: Callable[[int], None] | None = getattr(dataset, 'fetch_ahead', None) if served else None
        self.position = (0, 0)
        self.shift = 0
        self.global_batch = (batch_size or 1) * self.world_size
        if self.drop_last and self.size < self.global_batch:
            raise OmniVLValueError(
                f'EpochSampler: the dataset has {self.size} samples, fewer than one batch of all processes '
                f'({self.world_size} x {batch_size}); make batch_size smaller or set drop_last=False'
            )

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches that this process sees in an epoch."""
        return -(-len(self) // (self.batch_size or 1))

    def set_position(self, epoch: int, batches_done: int = 0, shift: int = 0) -> None:
        """Begin the next iteration behind ``batches_done`` batches of an epoch; nothing before them is loaded.

        ``shift`` is for an epoch that began with batches of another size: its samples before the first of the batches
        as they are counted now. It then has ``batches_after(shift)``.
        """
        if epoch < 0 or not 0 <= batches_done <= self.batches_per_epoch or not 0 <= shift < self.global_batch:
            raise OmniVLValueError(
                f'EpochSampler: epoch {epoch}, {batches_done} batches done; an epoch has {self.batches_per_epoch} '
                f'batches (did the data, batch_size or the number of processes change since the checkpoint?)'
            )
        if batches_done and self.batch_size is None:
            raise OmniVLValueError(
                'EpochSampler: batch_size is missing; without it there is no position inside an epoch'
            )
        self.position = (epoch, batches_done)
        self.shift = shift

    def batches_after(self, shift: int) -> int:
        """Count the batches of an epoch whose first ``shift`` samples are none of theirs; the same on all processes."""
        full, rest = divmod(self.size - shift, self.global_batch)
        return full + (rest > 0 and not self.drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; the name under which MMEngine's own loops ask for it."""
        self.set_position(epoch)

    def __len__(self) -> int:
        """Count the samples of this process per epoch, whatever the position."""
        full, rest = divmod(self.size, self.global_batch)
        length = full * (self.batch_size or 1)
        if not self.drop_last:
            length += rest // self.world_size + (self.rank < rest % self.world_size)
        return length

    def __iter__(self) -> Iterator[SampleKey]:
        epoch, batches_done = self.position
        mine = self._deal(self.epoch_order(epoch)[self.shift :])[batches_done * (self.batch_size or 1) :]
        return (SampleKey(int(index), epoch) for index in (mine if self._fetch_ahead is None else self._fetching(mine)))

    def epoch_order(self, epoch: int) -> np.ndarray:
        """Return the order of an epoch before it is dealt over the processes; int64 (len(dataset),)."""
        if not self.shuffle:
            return np.arange(self.size)
        rng = np.random.default_rng([self.seed, epoch])
        if self._sources is None:
            return rng.permutation(self.size)
        if self.window is None:
            parts = [_draw(start, stop, count, rng) for start, stop, count in self._sources]
            return rng.permutation(np.concatenate(parts))
        # Each source keeps its own order, and a draw says which source is next.
        order = np.empty(self.size, dtype=np.int64)
        turns = rng.permutation(np.repeat(np.arange(len(self._sources)), [count for _, _, count in self._sources]))
        for number, (start, stop, count) in enumerate(self._sources):
            order[turns == number] = _draw_windows(start, stop, count, self._group_ends, self.window, rng)
        return order

    def _fetching(self, mine: np.ndarray) -> Iterator[int]:
        """Yield samples; where the first of a shard is asked for, the shards that come next are fetched."""
        assert self._fetch_ahead is not None
        groups, places = np.searchsorted(self._group_ends, mine, side='right'), np.arange(len(mine))
        firsts = np.full(len(self._group_ends), len(mine))
        firsts[groups[::-1]] = places[::-1]  # what is assigned last stays
        begins = np.sort(firsts[firsts < len(mine)])
        begun, asked = 0, 1
        for place, index in enumerate(mine):
            if begun < len(begins) and place == begins[begun]:
                begun += 1
                for begin in begins[asked : begun + self.ahead]:
                    self._fetch_ahead(int(mine[begin]))
                asked = max(asked, begun + self.ahead)
            yield index

    def _deal(self, order: np.ndarray) -> np.ndarray:
        """Return this process's samples of an order; int64 (len(self),)."""
        full = len(order) // self.global_batch * self.global_batch
        batches = order[:full].reshape(-1, self.world_size, self.batch_size or 1)
        mine = batches[:, self.rank].reshape(-1)
        if self.drop_last:
            return mine
        return np.concatenate([mine, np.array_split(order[full:], self.world_size)[self.rank]])


def _draw(start: int, stop: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw samples of one source; none comes again before all others came; int64 (count,)."""
    passes = -(-count // (stop - start))
    order = [rng.permutation(stop - start) for _ in range(passes)]
    return start + np.concatenate(order)[:count] if order else np.empty(0, dtype=np.int64)


def _draw_windows(
    start: int, stop: int, count: int, ends: np.ndarray, window: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw samples of one source, a few groups at a time; none comes again before all others came; int64 (count,)."""
    ends = ends[(ends > start) & (ends <= stop)]
    begins = np.concatenate([[start], ends[:-1]])
    order: list[np.ndarray] = []
    left = count
    while left > 0:
        groups = rng.permutation(len(ends))
        for first in range(0, len(groups), window):
            chosen = groups[first : first + window]
            order.append(rng.permutation(np.concatenate([np.arange(begins[group], ends[group]) for group in chosen])))
            left -= len(order[-1])
            if left <= 0:
                break
    return np.concatenate(order)[:count] if order else np.empty(0, dtype=np.int64)


def _group_ends(dataset: Sized) -> np.ndarray:
    ends = getattr(dataset, 'group_ends', None)
    if ends is None:
        raise OmniVLValueError(f'EpochSampler: window needs a dataset of shards, got {type(dataset).__name__}')
    return ends


def _weighted_sources(
    dataset: Sized, weights: Mapping[str, float] | None, shuffle: bool
) -> list[tuple[int, int, int]] | None:
    """First index, end and number of draws per epoch of each source; None without weights."""
    if weights is None:
        return None
    if not shuffle:
        raise OmniVLValueError('EpochSampler: weights need shuffle=True; without it every sample comes once')
    sources = getattr(dataset, 'sources', None)
    if sources is None:
        raise OmniVLValueError(f'EpochSampler: weights need a MixedDataset, got {type(dataset).__name__}')
    names = [name for name, _, _ in sources]
    if set(weights) != set(names):
        raise OmniVLValueError(
            f'EpochSampler: weights are given for {sorted(weights)}, the sources are {sorted(names)}'
        )
    shares = np.array([weights[name] for name in names], dtype=np.float64)
    if not np.all(np.isfinite(shares)) or shares.min() < 0 or shares.sum() == 0:
        raise OmniVLValueError(f'EpochSampler: weights={dict(weights)}; they must be at least 0, and one above it')
    exact = shares / shares.sum() * len(dataset)
    counts = np.floor(exact).astype(np.int64)
    # Largest remainders first, so that the counts add up to the length of an epoch.
    counts[np.argsort(counts - exact, kind='stable')[: len(dataset) - counts.sum()]] += 1
    return [(start, stop, int(count)) for (_, start, stop), count in zip(sources, counts)]
