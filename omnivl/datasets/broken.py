"""Broken images and videos: what became of them, counted where it can be seen."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from omnivl.errors import OmniVLRuntimeError
from omnivl.structures import VLDataSample

from .errors import BrokenVisualError

POLICIES = ('raise', 'skip', 'replace')


class BrokenVisual(NamedTuple):
    """A file that could not be used: the name of its dataset, its path, why, and the kind of error behind it."""

    source: str
    path: str
    reason: str
    kind: str = 'broken file'

    @classmethod
    def of(cls, error: BrokenVisualError, source: str) -> 'BrokenVisual':
        """Take it from the error that a dataset of that name met."""
        cause = error.__cause__
        return cls(source, error.path, error.reason, *([] if cause is None else [type(cause).__name__]))


class SkippedItem(NamedTuple):
    """What a dataset hands out in the place of a broken item under the policy ``'skip'``; the collate drops it."""

    broken: BrokenVisual


def attach_broken(sample: VLDataSample, broken: Iterable[BrokenVisual]) -> None:
    """Note broken files in a sample's meta field ``broken``, which is how they reach the main process."""
    sample.set_metainfo({'broken': [*sample.get('broken', []), *broken]})


def tally(data_samples: Iterable[VLDataSample]) -> tuple[Counter[str], list[BrokenVisual]]:
    """Count the samples of a collated batch per source, and list the files that were broken in it."""
    seen: Counter[str] = Counter()
    broken: list[BrokenVisual] = []
    for sample in data_samples:
        seen[sample.source] += 1
        broken += sample.get('broken', [])
    return seen, broken


class BrokenCounter:
    """Count samples and broken files per source, in the main process.

    In training the counts are those of all ranks: each takes a :func:`tally` of its batch, and all :meth:`add` the sum.

    Args:
        max_shares: Largest share of broken files that is put up with, by source. Files of a source that is not named
            are counted, and never too many.
        grace: The share is taken of at least so many samples: one bad file among the first ten means nothing yet.
    """

    def __init__(self, max_shares: Mapping[str, float], grace: int = 100) -> None:
        self.max_shares = dict(max_shares)
        self.grace = grace
        self.seen: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.kinds: Counter[tuple[str, str]] = Counter()  # source and kind of error
        self.last: dict[str, BrokenVisual] = {}

    @classmethod
    def from_dataset(cls, dataset: object, grace: int = 100) -> 'BrokenCounter':
        """Make a counter with the ``max_broken_share`` of a dataset, or of each source of a MixedDataset.

        Foreign datasets have none, so of them nothing is ever too much.
        """
        known = (source for source in sources_of(dataset) if hasattr(source, 'max_broken_share'))
        return cls({source.name: source.max_broken_share for source in known}, grace)

    def update(self, data_samples: Iterable[VLDataSample]) -> list[BrokenVisual]:
        """Count the samples of a collated batch; return the files that were broken in it."""
        seen, new = tally(data_samples)
        self.add(seen, new)
        return new

    def add(self, seen: Mapping[str, int], new: Iterable[BrokenVisual]) -> None:
        """Add samples per source, and broken files."""
        self.seen.update(seen)
        for item in new:
            self.broken[item.source] += 1
            self.kinds[item.source, item.kind] += 1
            self.last[item.source] = item

    def check(self) -> None:
        """Raise a RuntimeError when a source has more broken files than its share."""
        for source, broken in self.broken.items():
            share = self.max_shares.get(source, 1.0)
            if broken > share * max(self.seen[source], self.grace):
                last = self.last[source]
                raise OmniVLRuntimeError(
                    f'{source!r}: {broken} broken or missing files among {self.seen[source]} samples'
                    f'{self._kinds_of(source)}, more than max_broken_share={share:g}; the last one was {last.path} '
                    f'({last.reason}). Is visual_root right? '
                    f'List the files in bad_files, or raise max_broken_share of the dataset'
                )

    def summary(self) -> str:
        """One line for the log; '' as long as nothing was broken."""
        parts = (
            f'{source} {count} of {self.seen[source]}{self._kinds_of(source)}'
            for source, count in sorted(self.broken.items())
        )
        return ', '.join(parts)

    def _kinds_of(self, source: str) -> str:
        kinds = ', '.join(f'{kind} {count}' for (name, kind), count in self.kinds.most_common() if name == source)
        return f' ({kinds})' if kinds else ''


def sources_of(dataset: object) -> Sequence[Any]:
    """Return the datasets that a mixture is made of; any other is its own source."""
    return getattr(dataset, 'datasets', [dataset])
