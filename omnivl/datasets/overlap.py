"""Images and videos that are trained and tested on: such figures say nothing about new ones, so they are refused."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from omnivl.errors import OmniVLError, OmniVLValueError
from omnivl.registry import DATASETS
from omnivl.storage.hashes import read_sha256
from omnivl.storage.tar_shards import member_of

from .base import VisualDataset
from .transforms.remote import local_copy

ALLOW = 'allow_train_test_overlap'
SHOWN = 3  # examples in the message

Clip = tuple[float, float] | None
Found = TypeVar('Found')


class OverlapError(OmniVLValueError):
    """A config trains on what it evaluates on."""


@dataclass
class Overlap:
    """What two datasets share."""

    train: str
    held_out: str
    items: int  # visuals of the set of the evaluation; each part of a video counts
    shared: list[str] = field(default_factory=list)  # paths of those that are trained on as well

    def __str__(self) -> str:
        more = f', ... ({len(self.shared)} in all)' if len(self.shared) > SHOWN else ''
        return (
            f'{len(self.shared)} of the {self.items} visuals of {self.held_out!r} are in the training set '
            f'{self.train!r} too: {", ".join(self.shared[:SHOWN])}{more}'
        )


def check_overlap(cfg: Mapping[str, Any], roles: Sequence[str]) -> str | None:
    """Refuse a config whose evaluations are on visuals that it trains on, also those that a probe is trained on.

    Annotation files are read only where the folders of two sets lie in one another, and where there are any. Nothing
    is looked for where ``allow_train_test_overlap`` of the config is true. ``roles`` are the evaluations to look at:
    ``'val'``, ``'test'`` or both. Returns what could not be compared, for the log; None if everything was.
    """
    if cfg.get(ALLOW):
        return None
    overlaps, unread = [], set()
    for trained, evaluated in trained_and_evaluated(cfg, roles):
        found, missing = find_overlaps(trained, evaluated)
        overlaps += found
        unread.update(missing)
    if overlaps:
        lines = '\n  '.join(dict.fromkeys(map(str, overlaps)))
        raise OverlapError(
            f'training and evaluation share visuals:\n  {lines}\nChange the split, leave them out of the training '
            f'(bad_files of its dataset), or, if it is meant, set {ALLOW}=True (--cfg-options {ALLOW}=True)'
        )
    return (
        f'visuals that are trained and tested on were not looked for in {"; ".join(sorted(unread))}' if unread else None
    )


def trained_and_evaluated(
    cfg: Mapping[str, Any], roles: Sequence[str]
) -> list[tuple[list[VisualDataset], list[VisualDataset]]]:
    """List what of a config must have nothing in common, with nothing read: training sets, and those of evaluations."""
    held_out = {role: _by_loader(cfg.get(f'{role}_dataloader')) for role in roles}
    train = [source for sources in _by_loader(cfg.get('train_dataloader')).values() for source in sources]
    pairs = [(train, [source for loaders in held_out.values() for sources in loaders.values() for source in sources])]
    for role, loaders in held_out.items():
        evaluators = cfg.get(f'{role}_evaluator')
        for name, evaluator in evaluators.items() if isinstance(evaluators, Mapping) else ():
            for key in ('train', 'val'):  # what a probe is trained on
                own = evaluator.get(key) if isinstance(evaluator, Mapping) else None
                pairs.append((_by_loader({name: own})[name], loaders.get(name, [])))
    return pairs


def find_copies(
    train: Sequence[VisualDataset], held_out: Sequence[VisualDataset], workers: int = 0
) -> tuple[dict[str, tuple[str, str]], int]:
    """Compare files, and members of shards, byte by byte, wherever they lie and whatever they are called.

    Only files of one size are read. A picture that was compressed anew is another file.

    Args:
        train: What is trained on.
        held_out: What is evaluated on.
        workers: Threads that read.

    Returns:
        Path of each file of the training that is one of an evaluation -> its source, and of what it is a copy; and how
        many could not be compared, as they are not there or somewhere else.
    """
    sizes: dict[str, dict[str, tuple[str, int | None]]] = {'train': {}, 'held out': {}}
    for kind, datasets in (('train', train), ('held out', held_out)):
        for dataset in datasets:
            sizes[kind].update((path, (dataset.name, _size(path))) for path, _ in dataset.iter_visuals())
    common = set.intersection(*({size for _, size in found.values()} for found in sizes.values())) - {None}
    hashes: dict[str, dict[str, bytes | None]] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for kind, found in sizes.items():
            paths = [path for path, (_, size) in found.items() if size in common]
            hashes[kind] = dict(zip(paths, pool.map(_digest, paths)))
    known = {digest: path for path, digest in hashes['held out'].items()}
    copies = {
        path: (sizes['train'][path][0], f'the same file as {known[digest]} of {sizes["held out"][known[digest]][0]}')
        for path, digest in hashes['train'].items()
        if digest is not None and digest in known
    }
    missing = sum(size is None for found in sizes.values() for _, size in found.values())
    return copies, missing + sum(digest is None for found in hashes.values() for digest in found.values())


def _size(path: str) -> int | None:
    if (member := member_of(path)) is not None:
        return member.length
    return os.path.getsize(path) if os.path.isfile(path) else None


def _digest(path: str) -> bytes | None:
    try:
        with local_copy(path, False, 'verify') as copy:
            return bytes.fromhex(read_sha256(copy))
    except (OSError, OmniVLError):
        return None


def find_overlaps(train: Sequence[VisualDataset], held_out: Sequence[VisualDataset]) -> tuple[list[Overlap], list[str]]:
    """Compare by path, and parts of videos by whether they meet.

    Training sets whose folder neither holds nor lies in that of a set to compare with are not read; equal sets of
    evaluations are compared once. Returns the overlaps, and why what could not be read could not.
    """
    held_out = list({_identity(dataset): dataset for dataset in held_out}.values())
    places: dict[int, dict[str, list[Clip]]] = {}
    overlaps: list[Overlap] = []
    unread: list[str] = []
    for source in train:
        related = [number for number, other in enumerate(held_out) if _is_related(source, other)]
        for number in related:
            if number not in places:
                places[number] = _read(held_out[number], _clips_by_place, unread) or {}
        related = [number for number in related if places[number]]
        if related:
            compare = functools.partial(_compare, held_out=[places[number] for number in related])
            for number, shared in zip(related, _read(source, compare, unread) or ()):
                if shared:
                    items = sum(len(clips) for clips in places[number].values())
                    overlaps.append(Overlap(source.name, held_out[number].name, items, list(shared.values())))
    return overlaps, unread


def _compare(
    train: VisualDataset, held_out: Sequence[Mapping[str, Sequence[Clip]]]
) -> list[dict[tuple[str, Clip], str]]:
    """Find what of each set is trained on, with the path by which it is."""
    shared: list[dict[tuple[str, Clip], str]] = [{} for _ in held_out]
    for path, place, clip in _places(train):
        for found, clips in zip(shared, held_out):
            found.update({(place, other): path for other in clips.get(place, ()) if _meet(clip, other)})
    return shared


def _read(dataset: VisualDataset, read: Callable[[VisualDataset], Found], unread: list[str]) -> Found | None:
    try:
        return read(dataset)
    except (ValueError, OSError) as error:  # what is wrong with a file is said where the file is needed
        unread.append(f'{dataset.name} ({error})')
        return None


def _by_loader(loaders: Mapping[str, Any] | None) -> dict[str, list[VisualDataset]]:
    return {name: list(_sources((loader or {}).get('dataset'))) for name, loader in (loaders or {}).items()}


def _sources(config: object) -> Iterator[VisualDataset]:
    """List the visual datasets of a config, with nothing read and without their pipelines."""
    if not isinstance(config, Mapping):
        return
    kind = DATASETS.get(config['type']) if isinstance(config['type'], str) else config['type']
    if isinstance(kind, type) and issubclass(kind, VisualDataset):
        yield DATASETS.build(dict(config, pipeline=[], lazy_init=True))
    for source in config.get('datasets', ()):
        yield from _sources(source)


def _identity(dataset: VisualDataset) -> tuple[str, ...]:
    reader = dataset.reader
    return tuple(map(repr, (type(reader), sorted(vars(reader).items()), dataset.max_items, dataset.bad_files)))


def _is_related(one: VisualDataset, other: VisualDataset) -> bool:
    roots = [os.path.realpath(dataset.reader.visual_root or '.') for dataset in (one, other)]
    return one.modality == other.modality and os.path.commonpath(roots) in roots


def _clips_by_place(dataset: VisualDataset) -> dict[str, list[Clip]]:
    clips: dict[str, list[Clip]] = {}
    for _, place, clip in _places(dataset):
        of_place = clips.setdefault(place, [])
        if clip not in of_place:
            of_place.append(clip)
    return clips


def _places(dataset: VisualDataset) -> Iterator[tuple[str, str, Clip]]:
    """Path, where it leads if the folder is a link, and clip of every item."""
    root = os.path.join(dataset.reader.visual_root, '') if dataset.reader.visual_root else ''
    real = os.path.realpath(root or '.')
    for path, clip in dataset.iter_visuals():
        inner = path[len(root) :] if path.startswith(root) else os.path.abspath(path)
        yield path, os.path.normpath(os.path.join(real, inner)), clip


def _meet(one: Clip, other: Clip) -> bool:
    return one is None or other is None or (one[0] < other[1] and other[0] < one[1])
