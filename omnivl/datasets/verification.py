"""Reading every image and video of some datasets once, from the first to the last pixel, in parallel."""

import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from hashlib import blake2b
from itertools import islice
from multiprocessing.context import BaseContext
from typing import NamedTuple

import numpy as np

from omnivl.errors import OmniVLValueError

from .base import VisualDataset
from .errors import BrokenVisualError
from .transforms import LoadVideo

CHUNK = 32  # frames of a video that are decoded at once
QUEUED = 4  # files per process that are handed out at a time

Loader = Sequence[Callable]


class Visual(NamedTuple):
    """One thing to read."""

    loader: int  # place of its loader among those of the plan
    source: str
    path: str
    clip: tuple[float, float] | None  # the part of a video that the dataset uses, in seconds; None = all of it

    @property
    def key(self) -> int:
        """A 64-bit number that stands for path and clip."""
        name = f'{self.path}\0{list(self.clip) if self.clip else None}'
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

    def visuals(self, done: np.ndarray) -> Iterator[Visual]:
        """List what is left to read, in the order of the datasets; ``done`` are the keys already read, uint64 (M,)."""
        left = np.sort(self._first[~np.isin(self.keys, done)])
        places = iter(left.tolist())
        next_place = next(places, None)
        for place, visual in enumerate(self._all()):
            if place == next_place:
                yield visual
                next_place = next(places, None)
            if next_place is None:
                return

    def _all(self) -> Iterator[Visual]:
        for number, dataset in enumerate(self.datasets):
            for index in range(len(dataset)):
                info = dataset.get_data_info(index)
                yield Visual(number, dataset.name, str(info['visual']), info['clip'])


def loader_of(dataset: VisualDataset) -> list[Callable]:
    """Return the beginning of a pipeline, up to the transform that loads the frames, which is named ``Load...``."""
    names = [type(transform).__name__ for transform in dataset.transforms]
    for place, name in enumerate(names):
        if name.startswith('Load'):
            return list(dataset.transforms[: place + 1])
    raise OmniVLValueError(f'the pipeline of {dataset.name!r} has no transform that is named Load...; it has {names}')


def read_visual(loader: Loader, visual: Visual) -> str | None:
    """Decode a visual as a whole; return what is wrong with it, or None."""
    load = loader[-1]
    try:
        if isinstance(load, LoadVideo):  # which decodes a few frames only
            with load.decoder.open(visual.path, load.short_side) as video:
                first, count = video.window(visual.clip)
                for start in range(first, first + count, CHUNK):
                    video.frames(np.arange(start, min(start + CHUNK, first + count)))
            return None
        info = {'visual': visual.path, 'clip': visual.clip, 'rng': np.random.default_rng(0)}
        for transform in loader:
            info = transform(info)
    except BrokenVisualError as error:
        return error.reason
    except MemoryError:
        return 'it does not fit into memory'
    return None


def read_all(
    loaders: Sequence[Loader], visuals: Iterable[Visual], workers: int, start_method: str = 'fork'
) -> Iterator[tuple[Visual, str | None]]:
    """Read files in parallel; yield each and what is wrong with it (None = nothing), as they become ready.

    A decoder that crashes takes its process along, and with it the pool. The files that were under way are then read
    again, each in a process of its own, which tells the one that did it. ``workers=0`` reads in this process.
    """
    if workers == 0:
        yield from ((visual, read_visual(loaders[visual.loader], visual)) for visual in visuals)
        return
    context = multiprocessing.get_context(start_method)
    waiting = iter(visuals)
    while True:
        crashed: list[Visual] = []
        yield from _read_until_crash(loaders, waiting, workers, context, crashed)
        for visual in crashed:
            yield visual, _read_alone(loaders, visual, context)
        if not crashed:
            return


def _read_until_crash(
    loaders: Sequence[Loader], waiting: Iterator[Visual], workers: int, context: BaseContext, crashed: list[Visual]
) -> Iterator[tuple[Visual, str | None]]:
    """Read with one pool; what was under way when it broke is put into ``crashed``."""
    pool = ProcessPoolExecutor(workers, context, _start_worker, (loaders,))
    running: dict[Future, Visual] = {}
    try:
        while True:
            for visual in islice(waiting, 0 if crashed else QUEUED * workers - len(running)):
                try:
                    running[pool.submit(_read_in_worker, visual)] = visual
                except BrokenProcessPool:
                    crashed.append(visual)
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                visual = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    crashed.append(visual)
                else:
                    yield visual, result
    finally:
        pool.shutdown(cancel_futures=True)


def _read_alone(loaders: Sequence[Loader], visual: Visual, context: BaseContext) -> str | None:
    with ProcessPoolExecutor(1, context, _start_worker, (loaders,)) as pool:
        try:
            return pool.submit(_read_in_worker, visual).result()
        except BrokenProcessPool:
            return 'the decoder crashes on it'


_loaders: list[Loader] = []  # of a worker process


def _start_worker(loaders: Sequence[Loader]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends the workers
    _loaders[:] = loaders


def _read_in_worker(visual: Visual) -> str | None:
    return read_visual(_loaders[visual.loader], visual)
