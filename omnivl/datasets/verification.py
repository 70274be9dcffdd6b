"""Reading every image, video and sound of some datasets once, from beginning to end, in parallel."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from omnivl.errors import OmniVLValueError

from .base import FAULTS, VisualDataset
from .errors import BrokenVisualError
from .guard import SampleGuard
from .samplers import EpochSampler, SampleKey
from .survival import batches_of
from .transforms import AugmentedViews, LoadSoundtrack, LoadVideo
from .transforms.audio import SoundLoader
from .transforms.chatter import heard
from .transforms.remote import local_copy
from .workers import init_worker

CHUNK = 32  # frames of a video that are decoded at once
QUEUED = 4  # files per process that are handed out at a time

Loader = Sequence[Callable]


class Visual(NamedTuple):
    """One thing to read."""

    loader: int  # place of its loader among those of the plan
    source: str
    path: str
    clip: tuple[float, float] | None  # the part of a video that the dataset uses, in seconds; None = all of it
    loads: str = ''  # names of what loads it: one dataset may see a clip, and another one hear it, too

    @property
    def key(self) -> int:
        """A 64-bit number that stands for path, clip and what loads them."""
        name = f'{self.path}\0{list(self.clip) if self.clip else None}\0{self.loads}'
        return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), 'big')


class ReadingPlan:
    """What there is to read: the visuals of all datasets, each once.

    Args:
        datasets: The datasets; a visual of several belongs to the first of them.

    Attributes:
        loaders: The loading part of each dataset's pipeline.
        items: Number of items of each dataset, by name.
        keys: Key of each visual to read; uint64 (N,).
    """

    def __init__(self, datasets: Sequence[VisualDataset]) -> None:
        self.datasets = datasets
        self.loaders = [loader_of(dataset) for dataset in datasets]
        self.items: Counter[str] = Counter()
        for dataset in datasets:
            self.items[dataset.name] += len(dataset)
        keys = np.fromiter((visual.key for visual in self._all()), np.uint64)
        self.keys, self._first = np.unique(keys, return_index=True)

    def __len__(self) -> int:
        return len(self.keys)

    def visuals(self, done: np.ndarray) -> 'VisualsLeft':
        """List what is left to read, in the order of the datasets; ``done`` are the keys already read, uint64 (M,)."""
        return VisualsLeft(self.datasets, np.sort(self._first[~np.isin(self.keys, done)]))

    def _all(self) -> Iterator[Visual]:
        return iter(VisualsLeft(self.datasets, np.arange(sum(map(len, self.datasets)))))


class VisualsLeft(Sequence[Visual]):
    """The visuals at some places of all items of the datasets, made when they are asked for; ``places`` int64 (N,)."""

    def __init__(self, datasets: Sequence[VisualDataset], places: np.ndarray) -> None:
        self.datasets = datasets
        self.places = places
        self.ends = np.cumsum([len(dataset) for dataset in datasets])
        self.loads = [' '.join(type(step).__name__ for step in loader_of(dataset)) for dataset in datasets]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: Any) -> Any:
        place = int(self.places[number])
        dataset = int(np.searchsorted(self.ends, place, side='right'))
        source = self.datasets[dataset]
        info = source.get_data_info(place - int(self.ends[dataset]) + len(source))
        return Visual(dataset, source.name, str(info['visual']), info['clip'], self.loads[dataset])


def loader_of(dataset: VisualDataset) -> list[Callable]:
    """Return the beginning of a pipeline, up to the first transform that is named ``Load...``, and soundtracks."""
    steps: list[Callable] = []
    for step in dataset.transforms:  # each view of a visual may be loaded by itself
        steps += step.transforms if isinstance(step, AugmentedViews) else [step]
    names = [type(transform).__name__ for transform in steps]
    for place, name in enumerate(names):
        if name.startswith('Load'):
            return steps[: place + 1] + [step for step in steps[place + 1 :] if isinstance(step, LoadSoundtrack)]
    raise OmniVLValueError(f'the pipeline of {dataset.name!r} has no transform that is named Load...; it has {names}')


def read_visual(loader: Loader, visual: Visual) -> str | None:
    """Decode a visual as a whole; return what is wrong with it, or None."""
    info = {'visual': visual.path, 'clip': visual.clip, 'rng': np.random.default_rng(0)}
    try:
        for load in loader:
            if isinstance(load, LoadVideo):  # which decodes a few frames only
                _read_frames(load, visual)
            elif isinstance(load, SoundLoader):  # a few seconds
                with local_copy(visual.path, load.remote, type(load).__name__) as path:
                    load.check_sound(path, visual.clip)
            else:
                info = load(info)
    except FAULTS:
        raise
    except BrokenVisualError as error:
        return error.reason
    except MemoryError:
        return 'it does not fit into memory'
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return None


def _read_frames(load: LoadVideo, visual: Visual) -> None:
    with (
        local_copy(visual.path, load.remote, type(load).__name__) as path,
        heard(visual.path),
        load.decoder.open(path, load.short_side, load.limits) as video,
    ):
        first, count = video.window(visual.clip)
        for start in range(first, first + count, CHUNK):
            video.frames(np.arange(start, min(start + CHUNK, first + count)))


class Reading(Dataset):
    """Reads a visual for each index, and says what is wrong with it; None = nothing.

    Args:
        loaders: The loading parts of pipelines that the visuals speak of.
        visuals: What to read.
        workers: Number of processes that read.
        max_seconds: What takes longer is broken.
    """

    def __init__(self, loaders: Sequence[Loader], visuals: Sequence[Visual], workers: int, max_seconds: float) -> None:
        self.loaders = loaders
        self.visuals = visuals
        self.max_seconds = max_seconds
        self.guard = SampleGuard(workers)

    def __len__(self) -> int:
        return len(self.visuals)

    def __getitem__(self, key: SampleKey) -> tuple[Visual, str | None]:
        visual = self.visuals[key.index]
        if visual.path in self.guard.banned:
            return visual, self.guard.banned[visual.path]
        with self.guard.loading(visual.source, visual.path, self.max_seconds):
            return visual, read_visual(self.loaders[visual.loader], visual)


def read_all(
    loaders: Sequence[Loader],
    visuals: Sequence[Visual],
    workers: int,
    start_method: str = 'fork',
    max_seconds: float = 600.0,
) -> Iterator[tuple[Visual, str | None]]:
    """Read files in parallel; yield each and what is wrong with it (None = nothing), in their order.

    A file that ends its process, or takes longer than ``max_seconds``, is read once more and is broken if it does so
    again. ``workers=0`` reads in this process.
    """
    if not len(visuals):
        return
    reading = Reading(loaders, visuals, workers, max_seconds)
    loader = DataLoader(
        reading,
        sampler=EpochSampler(reading, batch_size=1, shuffle=False),
        batch_size=1,
        collate_fn=_only,
        num_workers=workers,
        worker_init_fn=init_worker,
        multiprocessing_context=start_method if workers else None,
        prefetch_factor=QUEUED if workers else None,
    )
    yield from batches_of(loader)


def _only(items: list[Any]) -> Any:
    (item,) = items
    return item
