"""Data loaders as a config describes them, under their names."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from omnivl.errors import OmniVLValueError
from omnivl.registry import DATA_SAMPLERS, DATASETS, argument_names

from .base import VisualDataset
from .broken import sources_of
from .guard import SampleGuard


def build_loaders(
    configs: Mapping[str, Any], role: str, seed: int, training: bool, quarantine: Path | None = None
) -> dict[str, DataLoader]:
    """Build the loaders of a loop, by name, from configs or built ones; ``role`` is the key of the config."""
    check_names(configs, role)
    return {
        name: build_loader(config, f'{role}.{name}', seed, training, quarantine) for name, config in configs.items()
    }


def check_names(configs: object, role: str) -> None:
    """Raise an error if the config key ``role`` holds one loader without a name, or none."""
    if not isinstance(configs, Mapping) or not configs or 'dataset' in configs:
        raise OmniVLValueError(
            f'{role} must name its loaders, as in {role} = dict(image=dict(batch_size=..., dataset=...)); '
            f'got {sorted(configs) if isinstance(configs, Mapping) else configs!r}'
        )


def build_loader(
    config: Mapping[str, Any] | DataLoader, place: str, seed: int, training: bool, quarantine: Path | None = None
) -> DataLoader:
    """Build a loader from its config, or take a built one; ``place`` is where it stands, for the messages.

    The sampler gets the ``seed`` of the run, and in ``training`` the datasets that draw do too; then it also shuffles
    when the config does not say, and several processes may not leave broken files out: their batches would differ in
    size. ``quarantine`` is the file of the samples that killed their workers, see ``SampleGuard``.
    """
    if not isinstance(config, DataLoader):
        config = with_defaults(config, training)
        if training:
            _seed_draws(config['dataset'], seed)
    loader = Runner.build_dataloader(config, seed=seed)
    if training and get_world_size() > 1:
        _check_even_batches(loader.dataset, place)
    guard = SampleGuard(loader.num_workers, quarantine)
    for source in sources_of(loader.dataset):
        if isinstance(source, VisualDataset):
            source.guard = guard
    return loader


def _check_even_batches(dataset: Dataset, place: str) -> None:
    for source in sources_of(dataset):
        if getattr(source, 'broken', None) == 'skip':
            raise OmniVLValueError(
                f"{place}: dataset {source.name!r} has broken='skip', which makes batches smaller; several processes "
                "need batches of one size in training: set broken='replace' or 'raise'"
            )


def with_defaults(given: Mapping[str, Any], training: bool) -> dict[str, Any]:
    """Return a copy of the config of a loader with sampler, collation and workers of this project where it names none.

    In ``training`` samplers shuffle when the config does not say, and workers stay.
    """
    config: dict[str, Any] = copy.deepcopy(dict(given))
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
        config.setdefault('persistent_workers', True)  # an epoch may be a few seconds long
    # A loader draws a seed for its workers whenever it starts; from the global generator it would shift every draw of
    # the model after it, so that a resumed run, whose loaders start at another step, would differ.
    config.setdefault('generator', torch.Generator())
    return config


def _seed_draws(dataset: object, seed: int) -> None:
    """Give the seed of the run to the datasets that draw (crops, prompts) and have none of their own."""
    if not isinstance(dataset, dict):
        return
    if 'seed' in _arguments_of(dataset['type'], DATASETS):
        dataset.setdefault('seed', seed)
    for source in dataset.get('datasets', ()):
        _seed_draws(source, seed)


def _arguments_of(kind: str | type, registry: Registry) -> set[str]:
    component = registry.get(kind) if isinstance(kind, str) else kind
    return set() if component is None else argument_names(component) or set()
