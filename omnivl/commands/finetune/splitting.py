"""Splits items into those to train on and those that are held out, whole groups at a time."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from omnivl.storage.hashes import file_sha256
from omnivl.structures import MODALITIES

from .items import Found, Item, OwnDataError, counted

SHARE = 0.2  # of the groups is held out
MOST_HELD_OUT = 1000  # groups; more say nothing more, and would be tested for long
FEWEST = {'train': 2, 'held out': 2}  # files; a model that chooses needs two to choose from
FEW = 20  # held-out files; figures of fewer say little
HELD_OUT = ('test', 'val')  # of the splits that data comes with, the one to hold out, the first that is there


@dataclass
class Split:
    """The items on both sides, and what is to be said of it."""

    train: list[Item]
    held_out: list[Item]
    notes: list[str] = field(default_factory=list)


def select(found: Found, task: str) -> list[Item]:
    """Take the items that a task can use; the others are counted in ``found``."""
    wanted = {'vqa': 'a question with an answer', 'classify': 'a label'}.get(task, 'a caption')
    kept = []
    for item in found.items:
        record = item.record
        answered = record.question is not None and record.answers
        if {'vqa': answered, 'classify': record.label is not None}.get(task, record.text):
            kept.append(item)
        else:
            found.leave_out(f'without {wanted}, which {task} needs', record.id)
    return kept


def split_items(items: list[Item], task: str, share: float, seed: int) -> Split:
    """Split items; files of one group, and files of one content, stay together.

    Args:
        items: The items of the task.
        task: For ``classify`` each class is split for itself, otherwise each modality.
        share: Share of the groups to hold out, where the data does not come split.
        seed: Decides the draw.

    Returns:
        The split.

    Raises:
        OwnDataError: There are too few items on one side.
    """
    groups = group_items(items)
    given = Counter(item.split for item in items)
    if given['train'] and any(given[name] for name in HELD_OUT):
        split = _as_given(groups)
    else:
        notes = []
        if any(given[name] for name in ('train', *HELD_OUT)):
            named = ', '.join(name for name in ('train', *HELD_OUT) if given[name])
            notes.append(f'the data says {named} and nothing of the other side of a split: split anew')
        train, held_out = _draw(groups, task, share, seed)
        split = Split(train, held_out, notes)
    twice = len({item.record.visual for item in items}) - len(groups)
    if twice:
        split.notes.append(f'{twice} files are in a group with another one, or have its bytes: on one side together')
    _drop_lonely(split)
    _check(split, task)
    return split


def group_items(items: list[Item]) -> list[list[Item]]:
    """Put items together that have one file, one content or one group, in the order of their first ones."""
    parent = list(range(len(items)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    seen: dict[tuple[str, object], int] = {}
    contents = _contents([Path(item.record.visual) for item in items])
    for index, item in enumerate(items):
        keys: list[tuple[str, object]] = [('file', item.record.visual)]
        keys += [('content', contents[item.record.visual])] if item.record.visual in contents else []
        keys += [('group', item.group)] if item.group is not None else []
        for key in keys:
            parent[root(index)] = root(seen.setdefault(key, index))
    groups: dict[int, list[Item]] = defaultdict(list)
    for index, item in enumerate(items):
        groups[root(index)].append(item)
    return list(groups.values())


def _contents(paths: list[Path]) -> dict[str, str]:
    """Map files to the checksum of their content; only those that share their size, as others cannot be equal."""
    sizes: Mapping[Path, int] = {path: path.stat().st_size for path in dict.fromkeys(paths)}
    counts = Counter(sizes.values())
    return {str(path): file_sha256(path) for path, size in sizes.items() if counts[size] > 1}


def _as_given(groups: list[list[Item]]) -> Split:
    """Take the split that the data comes with; what would be on both sides is trained on only."""
    held_name = next(name for name in HELD_OUT if any(item.split == name for group in groups for item in group))
    split = Split([], [], [f'split: as the data says, {held_name} is held out'])
    unused, leaks = [], 0
    for group in groups:
        trained = [item for item in group if item.split == 'train']
        held = [item for item in group if item.split == held_name]
        split.train += trained
        leaks += len(held) if trained else 0
        split.held_out += [] if trained else held
        unused += [item for item in group if item.split not in ('train', held_name)]
    if leaks:
        split.notes.append(f'{leaks} held-out items are of files or groups that are trained on: not tested')
    if unused:
        names = ', '.join(sorted({str(item.split or 'no split') for item in unused}))
        split.notes.append(f'{len(unused)} items of {names} are not used')
    return split


def _draw(groups: list[list[Item]], task: str, share: float, seed: int) -> tuple[list[Item], list[Item]]:
    strata: dict[str, list[list[Item]]] = defaultdict(list)
    for group in groups:
        first = group[0]
        strata[f'{first.record.label} ' * (task == 'classify') + first.modality].append(group)
    rng = np.random.default_rng(seed)
    train: list[Item] = []
    held_out: list[Item] = []
    for name in sorted(strata):
        there = strata[name]
        count = min(math.ceil(share * len(there)), max(1, MOST_HELD_OUT // len(strata)))
        count = min(max(count, 1), len(there) - 1)  # a stratum of one group is trained on
        chosen = set(rng.permutation(len(there))[:count].tolist())
        for index, group in enumerate(there):
            (held_out if index in chosen else train).extend(group)
    return train, held_out


def _drop_lonely(split: Split) -> None:
    """Leave out a modality that has too few files on one side, where another has enough."""
    sides = (split.train, split.held_out)
    there = {item.modality for side in sides for item in side}
    for name in sorted(there) if len(there) > 1 else ():
        counts = [len({item.record.visual for item in side if item.modality == name}) for side in sides]
        if counts[0] < FEWEST['train'] or not counts[1]:
            split.notes.append(f'{sum(counts)} {MODALITIES[name].plural} are too few to train and to test on: left out')
            split.train, split.held_out = ([item for item in side if item.modality != name] for side in sides)


def _check(split: Split, task: str) -> None:
    for name, items in (('train', split.train), ('held out', split.held_out)):
        files = {item.record.visual for item in items}
        if len(files) < FEWEST[name]:
            raise OwnDataError(
                f'too few items: {len(files)} files to {"train on" if name == "train" else "hold out"}, at least '
                f'{FEWEST[name]} are needed on each side, so at least 6 files in all (20 or more are worth a try)'
            )
    if task == 'classify':
        known = {item.record.label for item in split.train}
        if len(known) < 2:
            raise OwnDataError(f'one class, {min(map(str, known))!r}: at least 2 are needed, each a folder or a label')
        strange = [item for item in split.held_out if item.record.label not in known]
        if strange:
            raise OwnDataError(
                f'{len(strange)} held-out items are of a class that training never has, '
                f'{strange[0].record.label!r}: move some of it to the training side'
            )
    if len({item.record.visual for item in split.held_out}) < FEW:
        split.notes.append(f'{counted(split.held_out)} held out: figures of fewer than {FEW} say little')
