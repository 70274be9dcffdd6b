"""Streams over data loaders that know their place and can start anywhere."""

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.dist import get_world_size
from torch.utils.data import DataLoader, Dataset

from omnivl.datasets import BrokenCounter, BrokenVisual
from omnivl.errors import OmniVLValueError


class LoaderGroup:
    """Several data loaders under their names, in the shape that MMEngine's hooks expect of one.

    Args:
        loaders: Name -> loader.
        length: What ``len()`` says: the steps of an epoch in training, all batches in evaluation.
    """

    def __init__(self, loaders: Mapping[str, DataLoader], length: int) -> None:
        self.loaders = dict(loaders)
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, name: str) -> DataLoader:
        return self.loaders[name]

    @property
    def dataset(self) -> Dataset:
        """The dataset of the first loader."""
        return next(iter(self.loaders.values())).dataset


class LoaderStream:
    """An endless stream of the batches of one loader, epoch after epoch, that can go on from any place.

    Args:
        name: Name of the loader.
        loader: The loader; its sampler must have ``set_position(epoch, batches_done)``.
        seed: Seed of what little the loader itself draws.

    Raises:
        OmniVLValueError: If the sampler cannot be positioned, or an epoch has no batch.
    """

    def __init__(self, name: str, loader: DataLoader, seed: int) -> None:
        if not hasattr(loader.sampler, 'set_position'):
            raise OmniVLValueError(
                f'the sampler of train_dataloader.{name} is a {type(loader.sampler).__name__}, which cannot start in '
                "the middle of an epoch; use sampler=dict(type='EpochSampler') or one with set_position(epoch, batches)"
            )
        self.name = name
        self.loader = loader
        self.seed = seed
        self.epoch = 0
        self.batches_done = 0
        self.samples = 0
        self.counter = BrokenCounter.from_dataset(loader.dataset)
        loader.sampler.set_position(0, 0)
        self.length = len(loader)
        if self.length == 0:
            raise OmniVLValueError(
                f'an epoch of train_dataloader.{name} has no batch: {len(loader.dataset)} samples, batch size '
                f'{loader.batch_size}, {get_world_size()} processes'
            )
        self._iterator: Iterator[Any] | None = None

    def __iter__(self) -> 'LoaderStream':
        return self

    def __next__(self) -> Any:
        if self.batches_done >= self.length:
            self.epoch, self.batches_done, self._iterator = self.epoch + 1, 0, None
        if self._iterator is None:
            self.loader.sampler.set_position(self.epoch, self.batches_done)
            if self.loader.generator is not None:
                self.loader.generator.manual_seed(zlib.crc32(f'{self.name}-{self.seed}-{self.epoch}'.encode()))
            self._iterator = iter(self.loader)
        batch = next(self._iterator)
        self.batches_done += 1
        return batch

    @property
    def epochs_completed(self) -> int:
        """Number of epochs whose batches were all given."""
        return self.epoch + (self.batches_done >= self.length)

    @property
    def batches_given(self) -> int:
        """Number of batches given in all epochs."""
        return self.epoch * self.length + self.batches_done

    @property
    def epochs(self) -> float:
        """Progress in epochs."""
        return self.epoch + self.batches_done / self.length

    @property
    def broken(self) -> int:
        """Number of broken files that this rank met."""
        return sum(self.counter.broken.values())

    def count_broken(self, batch: Mapping[str, Any]) -> list[BrokenVisual]:
        """Count the broken files that a batch reports.

        Args:
            batch: A collated batch.

        Returns:
            The files.

        Raises:
            OmniVLRuntimeError: If a source has more of them than its share.
        """
        new = self.counter.update(sample for sample in batch.get('data_samples', ()) if 'source' in sample)
        if new:
            self.counter.check()
        return new

    def close(self) -> None:
        """End the workers; the stream can go on later, with new ones."""
        self._iterator = None
        self.loader._iterator = None  # where torch keeps persistent workers

    def state_dict(self) -> dict[str, Any]:
        """Write down the place.

        Returns:
            Epoch, batches done, samples and broken files so far, and the samples per batch over all ranks.
        """
        return dict(
            epoch=self.epoch,
            batches_done=self.batches_done,
            samples=self.samples,
            seen=dict(self.counter.seen),
            broken=dict(self.counter.broken),
            global_batch=self._global_batch,
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> str | None:
        """Go to a place written down before, without loading what comes before it.

        Args:
            state: What :meth:`state_dict` returned.

        Returns:
            A warning if the batches have another size now, so that the place is only about the same.
        """
        self.close()
        self.epoch, self.batches_done = state['epoch'], state['batches_done']
        self.samples = state['samples']
        self.counter.seen.update(state['seen'])
        self.counter.broken.update(state['broken'])
        if state['global_batch'] == self._global_batch:
            return None
        self.batches_done = min(self.batches_done * state['global_batch'] // self._global_batch, self.length)
        return (
            f'{self.name}: a step had {state["global_batch"]} samples over all processes and now has '
            f'{self._global_batch}; the run goes on at the same share of the epoch, but not bit for bit'
        )

    @property
    def _global_batch(self) -> int:
        return (self.loader.batch_size or 1) * get_world_size()
