"""Streams of batches, one per task of the train loop, that know their place and can start anywhere."""

import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, cast

from mmengine.dist import all_gather_object, get_world_size
from torch.utils.data import DataLoader, Dataset

from omnivl.datasets import BrokenCounter, BrokenVisual
from omnivl.datasets.broken import tally
from omnivl.datasets.loaders import build_loader, check_names
from omnivl.datasets.survival import batches_of, end_workers
from omnivl.errors import OmniVLValueError
from omnivl.registry import STREAMS

Batch = dict[str, Any]


class Stream(ABC):
    """The batches of one task, without end: all that the train loop and its hooks ask for.

    A stream need not know how long it is (shards read one after the other); it has no epochs then.

    Args:
        name: Name of the task.
        counter: Counts broken files against the share that each source may have.

    Attributes:
        length: Batches of an epoch; None = it has no epochs.
        dataset: What the batches are of, for hooks of MMEngine that look at it; None = nothing they could use.
        samples: Samples given so far by all ranks; the loop counts them.
    """

    length: int | None = None
    dataset: Dataset | None = None

    def __init__(self, name: str, counter: BrokenCounter) -> None:
        self.name = name
        self.counter = counter
        self.samples = 0

    def __iter__(self) -> 'Stream':
        return self

    @abstractmethod
    def __next__(self) -> Batch:
        """Return the next collated batch."""

    @property
    @abstractmethod
    def batches_given(self) -> int:
        """Number of batches given so far."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Write down the place, in plain values."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> str | None:
        """Go to a place written down before, without loading what comes before it.

        Returns a warning if the place is only about the same.
        """

    @abstractmethod
    def close(self) -> None:
        """End the workers; the stream can go on later, with new ones."""

    @property
    def epochs_completed(self) -> int:
        """Number of epochs whose batches were all given."""
        return self.batches_given // self.length if self.length else 0

    @property
    def epochs(self) -> float | None:
        """Progress in epochs; None where there are none."""
        return self.batches_given / self.length if self.length else None

    @property
    def broken(self) -> int:
        """Number of broken files that all ranks met."""
        return sum(self.counter.broken.values())

    def counts_of(self, batches: Sequence[Batch]) -> dict[str, int]:
        """Count what the ranks add up of an update: broken files, and samples per source, under the same names on all.

        A source that no rank has met yet is counted as unnamed; its name follows in :meth:`count_broken`.
        """
        seen, broken = self._tally(batches)
        unnamed = sum(count for source, count in seen.items() if source not in self._sources)
        return dict(broken=len(broken), unnamed=unnamed) | {f'of {source}': seen[source] for source in self._sources}

    def count_broken(self, batches: Sequence[Batch], counts: Mapping[str, int]) -> list[tuple[int, BrokenVisual]]:
        """Count, of all ranks, the samples and the broken files of an update, and return the latter with their ranks.

        ``counts`` are the sums of :meth:`counts_of` over the ranks, so all come to the same; only where a file was
        broken, or a source is new, they exchange what the sums do not say.
        """
        seen = {source: counts[f'of {source}'] for source in self._sources if counts[f'of {source}']}
        self.counter.add(seen, ())
        if not counts['broken'] and not counts['unnamed']:
            return []
        named, found = set(self._sources), []
        for rank, (seen, broken) in enumerate(all_gather_object(self._tally(batches))):
            self.counter.add({source: count for source, count in seen.items() if source not in named}, broken)
            found += [(rank, item) for item in broken]
        return found

    @property
    def _sources(self) -> list[str]:
        """Sources in an order that is the same on every rank."""
        return sorted({*self.counter.max_shares, *self.counter.seen})

    @staticmethod
    def _tally(batches: Sequence[Batch]) -> tuple[Counter[str], list[BrokenVisual]]:
        samples = (sample for batch in batches for sample in batch.get('data_samples', ()))
        return tally(sample for sample in samples if 'source' in sample)


class LoaderStream(Stream):
    """The batches of a loader, epoch after epoch.

    Args:
        name: Name of the task.
        loader: Its sampler must have ``set_position(epoch, batches)``, as ``EpochSampler`` has.
        seed: Seed of the loader's own draws.

    Raises:
        OmniVLValueError: If the sampler cannot be positioned, or an epoch has no batch.
    """

    length: int

    def __init__(self, name: str, loader: DataLoader, seed: int) -> None:
        if not hasattr(loader.sampler, 'set_position'):
            raise OmniVLValueError(
                f'the sampler of train_dataloader.{name} is a {type(loader.sampler).__name__}, which cannot start in '
                "the middle of an epoch, as a resumed run must; use sampler=dict(type='EpochSampler') or give yours a "
                'method set_position(epoch, batches)'
            )
        super().__init__(name, BrokenCounter.from_dataset(loader.dataset))
        self.loader = loader
        self.sampler: Any = loader.sampler  # torch says no more of it than that it is iterable
        self.dataset = loader.dataset
        self.seed = seed
        self.epoch = 0
        self.batches_done = 0  # of the epoch
        self.shift = 0  # samples of the epoch that were given before those, in batches of another size
        self.sampler.set_position(0, 0)
        self.length = len(loader)
        if self.length == 0:
            raise OmniVLValueError(
                f'an epoch of train_dataloader.{name} has no batch: {len(cast(Sized, loader.dataset))} samples, batch '
                f'size {loader.batch_size}, {get_world_size()} processes'
            )
        self._iterator: Iterator[Batch] | None = None

    def __next__(self) -> Batch:
        if self.batches_done >= self._batches:
            self.epoch, self.batches_done, self.shift, self._iterator = self.epoch + 1, 0, 0, None
        if self._iterator is None:
            if self.loader.generator is not None:
                self.loader.generator.manual_seed(zlib.crc32(f'{self.name}-{self.seed}-{self.epoch}'.encode()))
            self._iterator = batches_of(self.loader, self.epoch, self.batches_done, self.shift)
        batch = next(self._iterator)
        self.batches_done += 1
        return batch

    @property
    def batches_given(self) -> int:
        """Number of batches given in all epochs."""
        return self.epoch * self.length + self.batches_done

    @property
    def epochs_completed(self) -> int:
        """Number of epochs whose batches were all given."""
        return self.epoch + (self.batches_done >= self._batches)

    def close(self) -> None:
        """End the workers; the stream can go on later, with new ones."""
        self._iterator = None
        end_workers(self.loader)

    def state_dict(self) -> dict[str, Any]:
        """Write down epoch, batches done, samples and broken files so far, and the samples per batch over all ranks."""
        return dict(
            epoch=self.epoch,
            batches_done=self.batches_done,
            shift=self.shift,
            samples=self.samples,
            seen=dict(self.counter.seen),
            broken=dict(self.counter.broken),
            kinds=[[*names, count] for names, count in self.counter.kinds.items()],
            global_batch=self._global_batch,
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> str | None:
        """Go to a place written down before; with batches of another size it is the very sample all the same."""
        self.close()
        self.epoch, self.batches_done, self.shift = state['epoch'], state['batches_done'], state.get('shift', 0)
        self.samples = state['samples']
        self.counter.seen.update(state['seen'])
        self.counter.broken.update(state['broken'])
        self.counter.kinds.update({(source, kind): count for source, kind, count in state.get('kinds', ())})
        if state['global_batch'] == self._global_batch:
            return None
        done = self.batches_done * state['global_batch'] + self.shift
        self.batches_done, self.shift = divmod(done, self._global_batch)
        place = 'behind the last of these samples'
        if not hasattr(self.sampler, 'batches_after'):
            self.batches_done, self.shift = min(self.batches_done, self.length), 0
            place = 'at the same share of the epoch'
        return (
            f'{self.name}: a step had {state["global_batch"]} samples over all processes and now has '
            f'{self._global_batch}; the run goes on {place}, but not bit for bit'
        )

    @property
    def _batches(self) -> int:
        """Number of batches of this epoch, in the size of now."""
        return self.sampler.batches_after(self.shift) if self.shift else self.length

    @property
    def _global_batch(self) -> int:
        return (self.loader.batch_size or 1) * get_world_size()


class LoaderGroup:
    """Several data loaders, or streams, under their names, in the shape that MMEngine's hooks expect of one loader.

    Args:
        loaders: Name -> loader.
        length: What ``len()`` says: the steps of an epoch in training, all batches in evaluation.
    """

    def __init__(self, loaders: Mapping[str, DataLoader | Stream], length: int) -> None:
        self.loaders = dict(loaders)
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, name: str) -> DataLoader | Stream:
        return self.loaders[name]

    @property
    def dataset(self) -> Dataset | None:
        """The dataset of the first loader."""
        return next(iter(self.loaders.values())).dataset


def build_streams(configs: Mapping[str, Any], seed: int, quarantine: Path | None = None) -> dict[str, Stream]:
    """Build the streams of the train loop, task -> stream.

    Each is configured as a loader, or as a stream of ``STREAMS``, which has a ``type``; or it is built. ``quarantine``
    is the file of the samples that killed their workers.
    """
    check_names(configs, 'train_dataloader')
    streams: dict[str, Stream] = {}
    for name, config in configs.items():
        if isinstance(config, Stream):
            streams[name] = config
        elif isinstance(config, Mapping) and 'type' in config:
            streams[name] = STREAMS.build(config, default_args=dict(name=name, seed=seed))
        else:
            loader = build_loader(config, f'train_dataloader.{name}', seed, training=True, quarantine=quarantine)
            streams[name] = LoaderStream(name, loader, seed)
    return streams


def split_losses(configs: Any) -> tuple[Any, dict[str, tuple[str, ...] | None]]:
    """Take the key ``losses`` out of the configs of tasks; what is no dict is left as it is.

    Returns the configs without it, and task -> names of its losses, None = all that the model has.
    """
    if not isinstance(configs, Mapping):
        return configs, {}
    losses: dict[str, tuple[str, ...] | None] = dict.fromkeys(configs)
    rest = dict(configs)
    for name, config in configs.items():
        if isinstance(config, Mapping) and 'losses' in config:
            if isinstance(config['losses'], str) or not config['losses']:
                raise OmniVLValueError(
                    f'train_dataloader.{name}.losses is {config["losses"]!r}; give a list of names, such as '
                    "('univlc', 'vlm'), or leave it out for all losses"
                )
            rest[name] = {key: value for key, value in config.items() if key != 'losses'}
            losses[name] = tuple(config['losses'])
    return rest, losses
