"""What a run has to go through: its tasks, the sizes of their samples, and how many there are."""

import argparse
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np
from mmengine.config import Config
from torch import nn
from torch.utils.data import DataLoader

from omnivl.datasets.broken import sources_of
from omnivl.datasets.samplers import EpochSampler
from omnivl.datasets.transforms import AugmentedViews
from omnivl.engine import AlternatingTrainLoop, ConfigError
from omnivl.engine.runner import named_class
from omnivl.engine.streams import LoaderStream, split_losses
from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.registry import DATASETS, LOOPS
from omnivl.storage.tar_shards import member_of
from omnivl.structures import FRAMES, MODALITIES

from ..flops.counting import Sizes, choose_sizes
from .memory import silent

GIVEN, COUNTED, PUBLISHED = 'given', 'counted', 'published'
LOOKED_AT = 200  # files whose sizes are looked up, of each source
# Items of the sets that the configs of the package name, as their authors publish them: pairs of a visual and a
# caption, questions, or labelled visuals. What is left of web sets, and of clips, differs from place to place.
ITEMS = {
    'coco': 566_747, 'visual_genome': 769_000, 'cc3m': 3_000_000, 'cc12m': 10_000_000, 'sbu': 860_000,
    'imagenet': 1_281_167, 'imagenet_test': 50_000, 'webvid': 2_500_000, 'kinetics400': 240_000,
    'coco_train': 566_747, 'coco_test': 5_000, 'coco_test2014': 40_775, 'nocaps_val': 4_500, 'nocaps_test': 10_600,
    'flickr30k_train': 145_000, 'flickr30k_test': 1_000, 'vqa_v2_train': 443_757, 'vqa_v2_val': 214_354,
    'visual_genome_qa': 1_700_000, 'msrvtt_train': 130_260, 'msrvtt_train_9k': 180_000, 'msrvtt_train_7k': 140_200,
    'msrvtt_test_1ka': 1_000, 'msrvtt_mc_test': 2_990, 'msrvtt_qa_train': 158_581, 'msvd_train': 48_774,
    'msvd_qa_train': 30_933, 'didemo_train': 8_395, 'youcook2_train': 10_337, 'ssv2_train': 168_913,
    'coco_val': 5_000, 'flickr30k_val': 1_000, 'vqa_v2_test_dev': 107_394, 'msrvtt_val': 497, 'msrvtt_test': 2_990,
    'msrvtt_qa_val': 12_278, 'msrvtt_qa_test': 72_821, 'msvd_val': 100, 'msvd_test': 670, 'msvd_qa_val': 6_415,
    'msvd_qa_test': 13_157, 'didemo_val': 1_065, 'didemo_test': 1_004, 'youcook2_val': 3_492, 'ssv2_val': 24_777,
    'ucf101_train': 9_537, 'ucf101_test': 3_783, 'hmdb51_train': 3_570, 'hmdb51_test': 1_530,
    'kinetics400_test': 20_000, 'cifar10_train': 50_000, 'cifar10_test': 10_000, 'cifar100_train': 50_000,
    'cifar100_test': 10_000, 'food101_train': 75_750, 'food101_test': 25_250, 'pets_train': 3_680,
    'pets_test': 3_669, 'flowers102_train': 1_020, 'flowers102_val': 1_020, 'flowers102_test': 6_149,
    'dtd_train': 1_880, 'dtd_test': 1_880, 'dtd_val': 1_880,
}  # fmt: skip


class PlanError(OmniVLValueError):
    """The options do not fit the config."""


@dataclass(frozen=True)
class Source:
    """A data set of a task.

    Attributes:
        name: Its name in the config.
        items: Number of its items.
        origin: Where the number is from: GIVEN, COUNTED or PUBLISHED.
        file_bytes: Mean size of its files, of some that were looked at; None = they are not here.
    """

    name: str
    items: int
    origin: str
    file_bytes: float | None = None


@dataclass(frozen=True)
class Task:
    """Samples that go through the model, batch by batch.

    Attributes:
        name: Its name in the loaders of the config.
        modality: What there is to see.
        sizes: Of each sample.
        batch_size: Samples on each GPU.
        losses: Names of the losses that it computes; None = all.
        sources: Its data sets.
        drop_last: Whether samples that fill no batch of all GPUs are left out of an epoch.
    """

    name: str
    modality: str
    sizes: Sizes
    batch_size: int
    losses: tuple[str, ...] | None = None
    sources: list[Source] = field(default_factory=list)
    drop_last: bool = True

    @property
    def items(self) -> int:
        """Items of all sources together."""
        return sum(source.items for source in self.sources)

    @property
    def frames(self) -> int:
        """Pictures of a sample, of all its views."""
        return self.sizes.views * (self.sizes.frames if MODALITIES[self.modality].has_time else 1)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a sample's pixels as a loader gives them, 8 bits for each of three channels."""
        return self.frames * 3 * self.sizes.size**2

    @property
    def file_bytes(self) -> float | None:
        """Mean size of a sample's file; None if that of some source is not known."""
        sizes = [source.file_bytes for source in self.sources]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        return sum(source.items * size for source, size in zip(self.sources, known)) / self.items


def training_tasks(cfg: Config, model: nn.Module, arguments: argparse.Namespace) -> list[Task]:
    """List the tasks of ``train_dataloader``."""
    loaders, losses = split_losses(cfg.train_dataloader)
    return [_task(cfg, model, arguments, 'train', name, one, losses[name]) for name, one in loaders.items()]


def test_tasks(cfg: Config, model: nn.Module, arguments: argparse.Namespace) -> list[Task]:
    """List what the evaluations of a config that only tests put through the model, training sets of probes too."""
    loaders = {name: (name, loader) for name, loader in (cfg.get('test_dataloader') or {}).items()}
    for name, evaluator in (cfg.get('test_evaluator') or {}).items():
        loaders |= {f'{name} ({key})': (name, evaluator[key]) for key in ('train', 'val') if evaluator.get(key)}
    if not loaders:
        raise ConfigError(f'{cfg.filename} has neither train_dataloader nor test_dataloader: there is nothing to plan')
    return [_task(cfg, model, arguments, 'test', name, loader, None) for name, (_, loader) in loaders.items()]


def count_steps(cfg: Config, model: nn.Module, tasks: Iterable[Task], gpus: int) -> dict[str, int]:
    """Count the batches of each task as the train loop would, which is asked."""
    if not issubclass(named_class(cfg.train_cfg.get('type'), LOOPS), AlternatingTrainLoop):
        raise ConfigError('train_cfg.type must be AlternatingTrainLoop, whose steps can be planned')
    streams = {task.name: LoaderStream(task.name, _loader(task, gpus), 0) for task in tasks}
    runner = SimpleNamespace(model=model, seed=0, work_dir='.', optim_wrapper=cfg.optim_wrapper)
    loop = LOOPS.build(dict(cfg.train_cfg), default_args=dict(runner=runner, dataloader=streams))
    updates = loop.schedule.counts_before(loop.max_iters)
    return {name: count * loop.batches_per_update for name, count in updates.items()}


def _loader(task: Task, gpus: int) -> DataLoader:
    """Make a loader whose items are their numbers and whose batch is that of all GPUs."""
    batch = task.batch_size * gpus
    if task.drop_last and task.items < batch:
        raise ConfigError(
            f'train_dataloader.{task.name} has {task.items} samples, fewer than one batch of {gpus} GPUs x '
            f'{task.batch_size}: take fewer --gpus, or a smaller train_dataloader.{task.name}.batch_size'
        )
    items = range(task.items)
    return DataLoader(items, batch, sampler=EpochSampler(items, batch, drop_last=task.drop_last))  # type: ignore[arg-type]


def _task(
    cfg: Config,
    model: nn.Module,
    arguments: argparse.Namespace,
    role: str,
    name: str,
    loader: Mapping[str, Any],
    losses: tuple[str, ...] | None,
) -> Task:
    place = f'{role}_dataloader.{name}'
    if 'type' in loader or not isinstance(loader.get('batch_size'), int) or loader['batch_size'] < 1:
        raise ConfigError(
            f'{place} has no batch_size, a whole number from 1 on: only loaders can be planned, no streams'
        )
    datasets = loader['dataset'].get('datasets', [loader['dataset']])
    with silent():
        built = [source for one in datasets for source in sources_of(DATASETS.build(dict(one, lazy_init=True)))]
    modality = built[0].modality
    if MODALITIES[modality].kind != FRAMES:
        raise ConfigError(f'{place} is of {MODALITIES[modality].plural}: only images and videos can be planned')
    sampler = loader.get('sampler') or {}
    views = prod(step.num_views for step in built[0].transforms if isinstance(step, AugmentedViews))
    return Task(
        name,
        modality,
        _sizes(cfg, model, arguments, datasets[0].get('pipeline', ()))._replace(views=views),
        loader['batch_size'],
        losses,
        [_source(one, arguments) for one in built],
        sampler.get('drop_last', sampler.get('shuffle', role == 'train')),
    )


def _sizes(cfg: Config, model: nn.Module, arguments: argparse.Namespace, pipeline: Iterable[Any]) -> Sizes:
    """Return the sizes of the command line, of the pipeline, of the model, in this order."""
    found: dict[str, int] = {}
    for step in pipeline:
        for one in (step, *step.get('transforms', ())):  # those of each view
            for name, key in (('size', 'size'), ('frames', 'num_frames'), ('words', 'max_length')):
                if isinstance(one.get(key), int):
                    found[name] = one[key]
    wanted = {name: getattr(arguments, name) or found.get(name) for name in ('size', 'frames', 'words')}
    sizes = choose_sizes(argparse.Namespace(**wanted), cfg.model, model)
    return sizes if sizes.words else sizes._replace(words=2)  # a text of [CLS] and [SEP], where there is none


def _source(dataset: Any, arguments: argparse.Namespace) -> Source:
    name, most = dataset.name, dataset.max_items
    file_bytes = arguments.file_kb.get(name, arguments.file_kb.get(dataset.modality))
    if file_bytes is not None:
        file_bytes *= 1e3
    if name in arguments.samples:
        return Source(name, int(arguments.samples[name]), GIVEN, file_bytes)
    try:
        with silent():
            dataset.full_init()
        return Source(name, len(dataset), COUNTED, file_bytes or _mean_file(dataset))
    except OmniVLFileNotFoundError as error:
        if name not in ITEMS:
            given = f' (--samples has {", ".join(arguments.samples)})' if arguments.samples else ''
            raise ConfigError(f'how large is {name}? {error}. Or say it: --samples {name}=NUMBER{given}') from error
    return Source(name, ITEMS[name] if most is None else min(most, ITEMS[name]), PUBLISHED, file_bytes)


def _mean_file(dataset: Any) -> float | None:
    """Return the mean size of some of the files of a data set, in bytes; None if none of them is there."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, LOOKED_AT, dtype=int))
    paths = {str(dataset.get_data_info(int(index))['visual']) for index in chosen}
    members = [member.length for path in paths if (member := member_of(path)) is not None]
    sizes = members + [os.path.getsize(path) for path in paths if os.path.isfile(path)]
    return float(np.mean(sizes)) if sizes else None


def check_names(arguments: argparse.Namespace, tasks: Iterable[Task]) -> None:
    """Refuse options for data sets that the config does not have."""
    sources = {source.name for task in tasks for source in task.sources}
    modalities = {task.modality for task in tasks}
    for option, given, known in (
        ('samples', arguments.samples, sources),
        ('file-kb', arguments.file_kb, sources | modalities),
    ):
        if unknown := sorted(set(given) - known):
            raise PlanError(f'--{option} names {unknown[0]!r}; the config has {", ".join(sorted(known))}')
