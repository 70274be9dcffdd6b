"""Named data loaders, and streams over them that know their place and can start anywhere."""

import copy
import inspect
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.registry import Registry
from torch.utils.data import DataLoader, Dataset

from omnivl.datasets import BrokenCounter, BrokenVisual
from omnivl.errors import OmniVLValueError
from omnivl.registry import DATA_SAMPLERS, DATASETS


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


def build_loaders(runner: Any, configs: Mapping[str, Any], role: str, training: bool) -> dict[str, DataLoader]:
    """Build the loaders of a loop.

    Args:
        runner: The runner, whose seed the samplers get, and in training the datasets.
        configs: Name -> config of a loader, or a built one.
        role: Name of the config key, for the messages.
        training: Whether samplers shuffle when the config does not say.

    Returns:
        Name -> loader.

    Raises:
        OmniVLValueError: If the config is one loader without a name, or none; or if several processes train on data
            that leaves broken files out, as their batches would differ in size.
    """
    if not isinstance(configs, Mapping) or not configs or 'dataset' in configs:
        raise OmniVLValueError(
            f'{role} must name its loaders, as in {role} = dict(image=dict(batch_size=..., dataset=...)); '
            f'got {sorted(configs) if isinstance(configs, Mapping) else configs!r}'
        )
    loaders = {}
    for name, config in configs.items():
        if not isinstance(config, DataLoader):
            config = with_defaults(config, training)
            if training:
                _seed_draws(config['dataset'], runner.seed)
        loaders[name] = runner.build_dataloader(config, seed=runner.seed)
        if training and get_world_size() > 1:
            _check_even_batches(loaders[name].dataset, f'{role}.{name}')
    return loaders


def _check_even_batches(dataset: Dataset, place: str) -> None:
    for source in getattr(dataset, 'datasets', [dataset]):
        if getattr(source, 'broken', None) == 'skip':
            raise OmniVLValueError(
                f"{place}: dataset {source.name!r} has broken='skip', which makes batches smaller; several processes "
                "need batches of one size in training: set broken='replace' or 'raise'"
            )


def with_defaults(config: Mapping[str, Any], training: bool) -> dict[str, Any]:
    """Fill in what the config of a loader leaves open.

    Args:
        config: Of a loader.
        training: Whether samplers shuffle when the config does not say, and workers stay.

    Returns:
        A copy with sampler, collation and workers of this project.
    """
    config = copy.deepcopy(dict(config))
    sampler = config.setdefault('sampler', dict(type='EpochSampler'))
    if isinstance(sampler, dict):
        # Not left to the defaults of the sampler: a shuffled evaluation would drop the last, smaller batch.
        arguments = _arguments_of(sampler['type'], DATA_SAMPLERS)
        defaults = dict(batch_size=config.get('batch_size', 1), shuffle=training)
        for argument, value in defaults.items():
            if argument in arguments:
                sampler.setdefault(argument, value)
    config.setdefault('collate_fn', dict(type='collate_samples'))
    config.setdefault('worker_init_fn', dict(type='init_worker'))
    if training and config.get('num_workers', 0) > 0:
        config.setdefault('persistent_workers', True)  # an epoch of the demo is a few seconds
    # A loader draws a seed for its workers whenever it starts; from the global generator it would shift every draw of
    # the model after it, so that a resumed run, whose loaders start at another step, would differ.
    config.setdefault('generator', torch.Generator())
    return config


def _seed_draws(dataset: Any, seed: int) -> None:
    """Give the seed of the run to the datasets that draw (crops, prompts) and have none of their own."""
    if not isinstance(dataset, Mapping):
        return
    if 'seed' in _arguments_of(dataset['type'], DATASETS):
        dataset.setdefault('seed', seed)
    for source in dataset.get('datasets', ()):
        _seed_draws(source, seed)


def _arguments_of(kind: str | type, registry: Registry) -> set[str]:
    kind = registry.get(kind) if isinstance(kind, str) else kind
    return set() if kind is None else set(inspect.signature(kind).parameters)


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
