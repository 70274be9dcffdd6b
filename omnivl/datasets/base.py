"""What all datasets have in common: compact rows, seeded draws, and the policy for broken files."""

import operator
import os
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypedDict, cast

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from omnivl.errors import (
    OmniVLFileNotFoundError,
    OmniVLKeyError,
    OmniVLRuntimeError,
    OmniVLTypeError,
    OmniVLValueError,
)
from omnivl.registry import ANNOTATIONS, TRANSFORMS
from omnivl.storage.tar_shards import shard_of

from .annotations import AnnotationReader, Record
from .annotations.files import require_file
from .broken import POLICIES, BrokenVisual, SkippedItem, attach_broken
from .errors import BrokenVisualError
from .guard import SampleGuard, deadline, read_paths
from .mapped_rows import map_rows
from .samplers import SampleKey
from .storage import CompactRows

# More broken files in a row than this are no accident.
MAX_REPLACEMENTS = 20
ATTEMPTS_IN_A_SHARD = 4
# What no file can be blamed for: these come from code or config, and stop the run as they are.
FAULTS = (
    *(AttributeError, NameError, ImportError, NotImplementedError, AssertionError, OmniVLTypeError, OmniVLKeyError),
    OmniVLFileNotFoundError,  # of the pipeline, as the vocabulary; a visual that is not there is a BrokenVisualError
)


class DatasetOptions(TypedDict, total=False):
    """Arguments of VisualDataset that its subclasses hand on as they are."""

    seed: int
    broken: str
    max_broken_share: float
    max_seconds: float
    bad_files: str | None
    max_items: int | None
    map_rows: bool | None
    lazy_init: bool


class VisualDataset(Dataset):
    """Base of the datasets: annotation reader -> rows -> pipeline.

    All random draws of an item come from one generator, seeded by (seed, epoch, crc32 of the name, index), which the
    pipeline finds in ``results['rng']``: an item is the same whichever worker or process loads it, and in any order.

    Args:
        annotations: Config of the annotation reader, or a reader.
        pipeline: Configs of the transforms, or callables; from ``results`` to a packed item.
        name: Name of the source in logs, draws and samples; unique among the datasets of a run.
        seed: Seed of the draws; the train loop puts the seed of the run in where the config gives none.
        broken: What to do with an image or video that is missing or cannot be decoded: ``'raise'``; ``'skip'`` it,
            which makes the batch smaller (for evaluation; in training all processes need batches of one size); or
            ``'replace'`` it by another item, drawn by the sample's key, whose caption, label and id come along.
        max_broken_share: Share of broken files at which a run stops (counted by BrokenCounter).
        max_seconds: A sample that takes longer to load is a broken file. One that hangs in a decoder can be ended in a
            worker only, so not with ``num_workers=0``.
        bad_files: A text file with one path of an image or video per line, as the log names them; items with these
            are left out.
        max_items: Number of items to use; None = all.
        map_rows: Whether the list of items is kept in a file of the cache (``OMNIVL_CACHE``) that all processes of the
            machine map; None = where the annotation files have 64 MB or more.
        lazy_init: Read the annotations not now, but in ``full_init()``, which MMEngine's dataloader builder calls.

    Attributes:
        classes: Names of the classes of a label set, once it is read; None for other sets.
        draws_anew: Whether an item is drawn anew in every epoch; an evaluation shows the same each time.
        guard: What outlives a worker that dies at a sample; set by whoever builds the loader.
    """

    classes: list[str] | None = None
    draws_anew: bool = True
    guard: SampleGuard | None = None

    def __init__(
        self,
        annotations: dict | AnnotationReader,
        pipeline: Sequence[dict | Callable],
        name: str,
        seed: int = 0,
        broken: str = 'raise',
        max_broken_share: float = 0.01,
        max_seconds: float = 120.0,
        bad_files: str | None = None,
        max_items: int | None = None,
        map_rows: bool | None = None,
        lazy_init: bool = False,
    ) -> None:
        owner = f'{type(self).__name__} {name!r}'
        if broken not in POLICIES:
            raise OmniVLValueError(f'{owner}: broken={broken!r}; allowed are {POLICIES}')
        if not 0 <= max_broken_share <= 1:
            raise OmniVLValueError(f'{owner}: max_broken_share={max_broken_share}; it is a share between 0 and 1')
        if not max_seconds > 0:
            raise OmniVLValueError(f'{owner}: max_seconds={max_seconds}; give the seconds that a sample may take')
        if seed < 0:
            raise OmniVLValueError(f'{owner}: seed={seed}; it must not be negative')
        if max_items is not None and max_items < 1:
            raise OmniVLValueError(f'{owner}: max_items={max_items}; give at least 1, or None for all items')
        self.reader = ANNOTATIONS.build(annotations) if isinstance(annotations, dict) else annotations
        self.transforms = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        self.name = name
        self.seed = seed
        self.broken = broken
        self.max_broken_share = max_broken_share
        self.max_seconds = max_seconds
        self.bad_files = bad_files
        self.max_items = max_items
        self.map_rows = map_rows
        self.rows: CompactRows | None = None
        self._left_out = 0
        if not lazy_init:
            self.full_init()

    @property
    def modality(self) -> str:
        """What its visuals are, a name of ``structures/modality.py``."""
        return self.reader.modality

    def full_init(self) -> None:
        """Read the annotations, once."""
        if self.rows is not None:
            return
        self.rows, facts = map_rows(self, self.map_rows, self._read_rows, self._facts)
        if not len(self.rows):
            raise OmniVLValueError(
                f'{type(self).__name__} {self.name!r}: no item is left of {self._annotation_place()}'
            )
        dropped = f', {facts["dropped"]} empty captions dropped' if facts['dropped'] else ''
        bad = f', {facts["left_out"]} records left out by bad_files' if self.bad_files is not None else ''
        print_log(
            f'{self.name}: {len(self.rows)} items ({self.modality}) from {self._annotation_place()}{dropped}{bad}',
            logger='current',
        )

    @abstractmethod
    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        """Turn records into the rows to keep; one row is one item, and begins with the visual and its clip."""

    @abstractmethod
    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return what is known of an item without loading it, without random draws."""

    @property
    def is_served(self) -> bool:
        """Whether a server may have its visuals."""
        return any(getattr(step, 'remote', False) for step in self.transforms)

    def fetch_ahead(self, index: int) -> None:
        """Have the shard of an item, which is used next, fetched while others are, if a server has it."""
        for step in self.transforms:
            if getattr(step, 'remote', False):
                cast(Any, step).fetch_ahead(self._full_rows()[index][0])

    def select_rows(self, rows: Iterable[tuple]) -> Iterable[tuple]:
        """Apply ``max_items``: the first ones, and nothing after them is read."""
        for number, row in enumerate(rows):
            if number == self.max_items:
                return
            yield row

    def iter_visuals(self) -> Iterator[tuple[str, tuple[float, float] | None]]:
        """Yield path and clip of every item; where the annotations were not read yet, they are, and are not kept."""
        rows = self.rows
        if rows is None:
            yield from (row[:2] for row in self.select_rows(self.make_rows(self.records())))
        else:
            yield from (rows[index][:2] for index in range(len(rows)))

    def draw_text(self, info: dict[str, Any], rng: np.random.Generator) -> None:
        """Random part of the item that is not the pipeline's; nothing here."""

    def tokenize(self, text: str) -> np.ndarray:
        """Turn a text, such as a filled prompt, into ids int64 (L,) as the pipeline does: cleaned by the same rule."""
        results: dict[str, Any] = {'text': text, 'visual': repr(text)}
        for transform in self.transforms:
            if getattr(transform, 'text_only', False):
                results = transform(results)
        if 'text_ids' not in results:
            raise OmniVLValueError(f'{type(self).__name__} {self.name!r}: its pipeline has no TokenizeText')
        return results['text_ids']

    def __len__(self) -> int:
        return len(self._full_rows())

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any] | SkippedItem:
        """Load the item of an index (then the epoch is 0) or of a SampleKey.

        Returns what the pipeline makes of it, ``dict(inputs, data_samples)``; a SkippedItem for a broken file under the
        policy ``'skip'``.
        """
        index, epoch = key if isinstance(key, SampleKey) else (operator.index(key), 0)
        if not -len(self) <= index < len(self):
            raise IndexError(f'{self.name!r} has {len(self)} items, there is no item {index}')
        index %= len(self)
        try:
            return self._load(index, epoch)
        except BrokenVisualError as error:
            if self.broken == 'raise':
                place = f"dataset {self.name!r}, item {index}; broken='replace' or 'skip' go on without it"
                raise BrokenVisualError(error.path, f'{error.reason} ({place})') from error
            broken = BrokenVisual.of(error, self.name)
            return SkippedItem(broken) if self.broken == 'skip' else self._replace(index, epoch, broken)

    def _load(self, index: int, epoch: int, attempt: int = 0) -> dict[str, Any]:
        """Load an item; whatever is wrong with it alone is a ``BrokenVisualError``."""
        info = self.get_data_info(index)
        path = str(info['visual'])
        guard = self.guard
        if guard is not None and path in guard.banned:
            raise BrokenVisualError(path, guard.banned[path])
        with deadline(path, self.max_seconds) if guard is None else guard.loading(self.name, path, self.max_seconds):
            info['rng'] = self._generator(index, epoch, attempt)
            step: object = self
            try:
                self.draw_text(info, info['rng'])  # before the pixels: the prompt does not depend on the crops
                for step in self.transforms:
                    info = step(info)
                    if info is None:
                        raise OmniVLTypeError(
                            f'{type(step).__name__} returned None; broken files raise BrokenVisualError'
                        )
            except (*FAULTS, BrokenVisualError):
                raise
            except Exception as error:
                said = next(iter(str(error).strip().splitlines()), '')
                raise BrokenVisualError(path, f'{type(error).__name__} in {type(step).__name__}: {said}') from error
        return info

    def _replace(self, index: int, epoch: int, broken: BrokenVisual) -> dict[str, Any]:
        """Another item in the place of a broken one; both the choice and its draws follow from the key."""
        found = [broken]
        for attempt in range(1, MAX_REPLACEMENTS + 1):
            other = self._other(index, epoch, attempt)
            try:
                item = self._load(other, epoch, attempt)
            except BrokenVisualError as error:
                found.append(BrokenVisual.of(error, self.name))
                continue
            if 'data_samples' in item:
                attach_broken(item['data_samples'], found)
            else:
                item['broken'] = found
            return item
        raise OmniVLRuntimeError(
            f'{self.name!r}: item {index} and all {MAX_REPLACEMENTS} items drawn in its place are broken or missing, '
            f'the last one {found[-1].path} ({found[-1].reason}); is visual_root of the annotations right?'
        )

    def _other(self, index: int, epoch: int, attempt: int) -> int:
        """Draw an item for the place of a broken one: of files any, of shards one that is read at this time.

        That is one of the same shard, after some attempts of the next one: any would mean another shard for each item.
        """
        rng, ends = self._generator(index, epoch, attempt), self.group_ends
        if len(ends) == 1:
            return int(rng.integers(len(self)))
        group = (int(np.searchsorted(ends, index, side='right')) + (attempt - 1) // ATTEMPTS_IN_A_SHARD) % len(ends)
        return int(rng.integers(ends[group - 1] if group else 0, ends[group]))

    def _generator(self, index: int, epoch: int, attempt: int) -> np.random.Generator:
        # crc32 and not hash(), which differs from one process to the next for a string.
        seeds = [self.seed, epoch if self.draws_anew else 0, zlib.crc32(self.name.encode()), index]
        return np.random.default_rng([*seeds, attempt] if attempt else seeds)

    def _full_rows(self) -> CompactRows:
        self.full_init()
        assert self.rows is not None
        return self.rows

    @property
    def group_ends(self) -> np.ndarray:
        """Where the items of each shard end, for orders that read a few shards at a time; int64 (G,), files are one."""
        return self._full_rows().group_ends

    def _read_rows(self, file: BinaryIO | None) -> CompactRows:
        rows = self.select_rows(self.make_rows(self.records()))
        return CompactRows(rows, group_of=lambda row: shard_of(row[0]), file=file)

    def _facts(self) -> dict[str, int]:
        return dict(dropped=self.reader.dropped, left_out=self._left_out)

    def _annotation_place(self) -> str:
        return self.reader.ann_file or self.reader.visual_root

    def records(self) -> Iterator[Record]:
        """Read the records, without those of ``bad_files``."""
        bad = set()
        if self.bad_files is not None:
            require_file(self.bad_files, 'bad_files', type(self).__name__)
            bad = set(map(os.path.normpath, read_paths(Path(self.bad_files))))
        self._left_out = 0
        for record in self.reader:
            if bad and os.path.normpath(record.visual) in bad:
                self._left_out += 1
            else:
                yield record

    def _base_info(self, visual: str, clip: tuple[float, float] | None, sample_id: str) -> dict[str, Any]:
        return {'visual': visual, 'modality': self.modality, 'clip': clip, 'sample_id': sample_id, 'source': self.name}
