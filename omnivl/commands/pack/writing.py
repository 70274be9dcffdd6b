"""What omnivl pack does: shards of a data set, in parallel, each whole or not there, and their index."""

import argparse
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from omnivl.datasets import VisualDataset
from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.storage import CompactRows
from omnivl.datasets.transforms.remote import Fetching, local_file
from omnivl.engine import read_config
from omnivl.errors import OmniVLValueError
from omnivl.storage import ProgressBar, atomic_write, write_json, write_text
from omnivl.storage.shard_index import write_index
from omnivl.storage.tar_shards import read_shard
from omnivl.structures import MODALITIES, modality_of_path
from omnivl.structures.modality import suffix_of

from ..errors import with_exit_code
from ..shards.indexing import INDEX, LINES_EVERY, Report, finish, in_parallel, tell_troubles
from ..verify.reading import datasets_of

SAMPLES = {False: 5000, True: 250}  # of a shard, without and with time
PLAN = 'plan.json'  # in the folder of the parts: what a run that goes on must have in common with the one before


def pack(dataset: VisualDataset, folder: Path, samples: int, seed: int, workers: int) -> Report:
    """Write the shards of a dataset and their index.

    Args:
        dataset: The dataset, whose annotations are read.
        folder: Where to.
        samples: Samples of a shard.
        seed: Of the draw that mixes them.
        workers: Number of processes.

    Returns:
        What was written.

    Raises:
        OmniVLValueError: The folder holds shards that were begun of something else.
    """
    parts_folder = folder / '.parts'
    parts_folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=parts_folder) as file:
        rows = CompactRows(_visuals(dataset), file=file)
        if not len(rows):
            raise OmniVLValueError(f'{dataset.name!r} has no records')
        known = hashlib.sha256()
        for index in range(len(rows)):
            known.update(repr(rows[index]).encode('utf-8', 'surrogatepass'))
        plan = dict(samples=samples, seed=seed, visuals=len(rows), records=known.hexdigest())
        _check_plan(parts_folder / PLAN, plan)
        _write_classes(dataset, folder)
        order = np.random.default_rng(seed).permutation(len(rows))
        count = -(-len(rows) // samples)
        names = [f'{number:05d}.tar' for number in range(count)]
        parts = [parts_folder / f'{name}.npz' for name in names]
        jobs = [(number, part) for number, part in enumerate(parts) if not part.is_file()]
        with ProgressBar(dataset.name, count, done=count - len(jobs), lines_every=LINES_EVERY) as bar:
            missing = 0
            for troubles in in_parallel(_write_shard, jobs, workers, (rows, order, samples, folder)):
                missing += troubles
                bar.step(f'{missing} missing')
    report = finish(folder / INDEX, names, parts)
    for path in (*parts, parts_folder / PLAN):
        path.unlink()
    parts_folder.rmdir()
    return report


def _visuals(dataset: VisualDataset) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each visual with what its records say; records of one visual that follow each other share it."""
    path = ''
    found: list[dict[str, Any]] = []
    for record in dataset.records():
        if found and record.visual != path:
            yield path, found
            found = []
        path = record.visual
        row = {name: value for name, value in asdict(record).items() if value not in (None, [])}
        del row['visual']
        found.append(row)
    if found:
        yield path, found


def _check_plan(path: Path, plan: dict[str, Any]) -> None:
    if path.is_file() and (begun := json.loads(path.read_text())) != plan:
        raise OmniVLValueError(
            f'{path.parent.parent} holds shards that were begun of other data or with other options ({begun}, now '
            f'{plan}): give the same ones, or another --out'
        )
    write_json(path, plan)


def _write_classes(dataset: VisualDataset, folder: Path) -> None:
    classes, names = dataset.reader.classes, dataset.reader.class_names
    if classes is not None and names is not None:
        write_text(folder / 'classes.txt', ''.join(f'{one}\n' for one in classes))
        write_text(folder / 'class_names.txt', ''.join(f'{one}\n' for one in names))


def _write_shard(rows: CompactRows, order: np.ndarray, samples: int, folder: Path, number: int, part: Path) -> int:
    """Write a shard and, when it is whole, its index; return the number of visuals that are missing."""
    path, missing = folder / f'{number:05d}.tar', []
    first = number * samples
    with atomic_write(path) as file, tarfile.open(fileobj=file, mode='w') as tar:
        for place in range(first, min(first + samples, len(rows))):
            visual, records = rows[int(order[place])]
            try:
                content = _content(visual)
            except BrokenVisualError as error:
                missing.append(f'left out: {error}')
                continue
            captions = [' '.join(text.split()) for record in records for text in record.get('text', ())]
            members = {suffix_of(visual): content}
            if captions:
                members['.txt'] = '\n'.join(captions).encode()
            members['.json'] = json.dumps(dict(records=records), ensure_ascii=False).encode()
            for suffix, data in members.items():
                entry = tarfile.TarInfo(f'{place:09d}{suffix}')
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    contents = read_shard(str(path), checksums=True)
    contents.troubles += missing
    write_index(part, path.name, path.stat().st_size, contents)
    return len(missing)


def _content(visual: str) -> bytes:
    if modality_of_path(visual) is None:
        raise BrokenVisualError(visual, 'it is no file of a picture or clip, by its name')
    try:
        with local_file(visual, Fetching()) as path:
            return Path(path).read_bytes()
    except OSError as error:
        raise BrokenVisualError(visual, error.strerror or str(error)) from error


@with_exit_code
def run_packing(arguments: argparse.Namespace) -> int:
    """Pack what the options of the command describe, and return the exit code."""
    cfg = read_config(arguments.config, arguments.trust_code)
    datasets = {dataset.name: dataset for dataset in datasets_of(cfg, arguments.roles)}
    names = arguments.names or list(datasets)
    if unknown := sorted(set(names) - set(datasets)):
        there = ', '.join(datasets)
        raise OmniVLValueError(f'--names: the config has no {unknown[0]!r} for {arguments.roles}, it has {there}')
    bad = [_pack_one(datasets[name], arguments) for name in names]
    return 1 if any(bad) else 0


def _pack_one(dataset: VisualDataset, arguments: argparse.Namespace) -> bool:
    """Pack a dataset, and say what came of it; True if anything is missing."""
    folder, modality = arguments.out / dataset.name, MODALITIES[dataset.modality]
    samples = arguments.samples or SAMPLES[modality.has_time]
    report = pack(dataset, folder, samples, arguments.seed, arguments.workers)
    tell_troubles(report, folder / INDEX)
    print(f'{folder}: {report.samples} {modality.plural} in {report.shards} shards')
    return bool(report.troubles)
