"""What omnivl shards does: the index of each shard, in parallel, then one of all."""

import argparse
import hashlib
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from omnivl.datasets.transforms.remote import Fetching
from omnivl.errors import OmniVLValueError
from omnivl.places import cache_root
from omnivl.storage import ProgressBar, write_text
from omnivl.storage.shard_cache import ShardCache
from omnivl.storage.shard_index import IndexOfShards, join_indices, troubles_of, write_index
from omnivl.storage.tar_shards import Contents, ShardError, read_shard

from ..errors import with_exit_code

INDEX = 'index.npz'
LINES_EVERY = 30  # seconds, in a file
SHOWN = 20  # troubles on the screen; all are in the file
_NUMBERED = re.compile(r'\{(\d+)\.\.(\d+)\}')


@dataclass
class Report:
    """What was indexed.

    Attributes:
        samples: Number of pictures and clips.
        shards: Number of shards.
        troubles: Name of a shard -> what is wrong with it.
    """

    samples: int
    shards: int
    troubles: dict[str, list[str]] = field(default_factory=dict)


def list_shards(places: Sequence[str]) -> tuple[str, list[str]]:
    """Find the shards of folders, files, URLs and numbered ones.

    Args:
        places: These.

    Returns:
        Their common folder or URL, and their names in it.

    Raises:
        OmniVLValueError: There is none, or they have no common folder.
    """
    found: list[str] = []
    for place in places:
        if '://' not in place and os.path.isdir(place):
            found += sorted(str(path) for path in Path(place).rglob('*.tar'))
        else:
            found += _numbered(place)
    if not found:
        raise OmniVLValueError(f'there is no tar file in {", ".join(places)}')
    remote = {'://' in one for one in found}
    if len(remote) > 1:
        raise OmniVLValueError('shards on the disk and URLs cannot be in one index: make one of each')
    folders = [one.rpartition('/')[0] for one in found]
    root = folders[0] if len(set(folders)) == 1 else _common(folders, remote.pop())
    return root, [one[len(root) + 1 :] if root else one for one in found]


def _common(folders: Sequence[str], remote: bool) -> str:
    levels = takewhile(lambda names: len(set(names)) == 1, zip(*(folder.split('/') for folder in folders)))
    parts = [names[0] for names in levels]
    if remote and len(parts) < 3:
        raise OmniVLValueError('the URLs have no common beginning: make an index for each bucket or server')
    return '/'.join(parts)


def _numbered(place: str) -> Iterator[str]:
    """Write out the first ``{000..123}`` of a name, and those after it."""
    range_ = _NUMBERED.search(place)
    if range_ is None:
        yield place
        return
    first, last = range_.groups()
    for number in range(int(first), int(last) + 1):
        yield from _numbered(f'{place[: range_.start()]}{number:0{len(first)}d}{place[range_.end() :]}')


def index_shards(root: str, names: Sequence[str], out: Path, workers: int, checksums: bool) -> Report:
    """Write the index of shards; parts that an interrupted run has written are not made again.

    Args:
        root: Folder or URL of the shards.
        names: Their names in it.
        out: The index.
        workers: Number of processes.
        checksums: Whether pictures and clips are read, for their CRC-32.

    Returns:
        What there is.
    """
    parts_folder = out.with_name(f'.{out.name}.parts')
    parts = [parts_folder / _part_name(f'{root}/{name}' if root else name, checksums) for name in names]
    jobs = [
        (f'{root}/{name}' if root else name, name, part, checksums)
        for name, part in zip(names, parts)
        if not part.is_file() or troubles_of(part)  # a server may be up again
    ]
    parts_folder.mkdir(parents=True, exist_ok=True)
    with ProgressBar('shards', len(names), done=len(names) - len(jobs), lines_every=LINES_EVERY) as bar:
        bad = 0
        for troubles in in_parallel(_index_one, jobs, workers):
            bad += bool(troubles)
            bar.step(f'{bad} bad')
    report = finish(out, names, parts)
    shutil.rmtree(parts_folder)
    return report


def finish(out: Path, names: Sequence[str], parts: Sequence[Path]) -> Report:
    """Put the parts together, and list what is wrong."""
    join_indices(out, parts)
    troubles = {name: found for name, part in zip(names, parts) if (found := troubles_of(part))}
    return Report(len(IndexOfShards(out)), len(names), troubles)


def in_parallel(work: Callable[..., Any], jobs: Iterable[tuple], workers: int, shared: tuple = ()) -> Iterator[Any]:
    """Do jobs in processes, and yield what each returns, as they end; ``shared`` are arguments that all begin with."""
    if not workers:
        yield from (work(*shared, *job) for job in jobs)
        return
    # Forked, as workers of loaders are: a process that begins anew reads torch first.
    method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else None
    with ProcessPoolExecutor(workers, multiprocessing.get_context(method), _share, (work, shared)) as pool:
        futures = [pool.submit(_work, job) for job in jobs]
        try:
            yield from (future.result() for future in as_completed(futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_shared: tuple[Callable[..., Any], tuple]


def _share(work: Callable[..., Any], shared: tuple) -> None:
    global _shared
    _shared = work, shared


def _work(job: tuple) -> Any:
    work, shared = _shared
    return work(*shared, *job)


def _part_name(path: str, checksums: bool) -> str:
    """Name the part of a shard so that a shard that has changed has another one."""
    state = ''
    if '://' not in path and os.path.isfile(path):
        status = os.stat(path)
        state = f'{status.st_size} {status.st_mtime_ns}'
    key = '\n'.join([path, state, str(checksums)])
    return f'{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz'


def _index_one(path: str, name: str, part: Path, checksums: bool) -> list[str]:
    try:
        if '://' in path:
            limits = Fetching()
            cache = ShardCache(cache_root() / 'shards', limits.cache_bytes, limits.timeout)
            path = str(cache.fetch(path))
        contents = read_shard(path, checksums)
        size = os.path.getsize(path) if os.path.isfile(path) else 0
    except ShardError as error:
        contents, size = Contents(troubles=[str(error)]), 0
    write_index(part, name, size, contents)
    return contents.troubles


def tell_troubles(report: Report, out: Path) -> None:
    """Write what is wrong with shards beside an index, and print the beginning."""
    lines = [f'{name}: {trouble}' for name, troubles in report.troubles.items() for trouble in troubles]
    path = out.with_suffix('.bad.txt')
    if not lines:
        path.unlink(missing_ok=True)
        return
    write_text(path, ''.join(f'{line}\n' for line in lines))
    print('\n'.join(lines[:SHOWN]))
    print(f'{len(report.troubles)} of {report.shards} shards are not whole, see {path}')


@with_exit_code
def run_indexing(arguments: argparse.Namespace) -> int:
    """Index what the options of the command describe, and return the exit code."""
    root, names = list_shards(arguments.shards)
    if arguments.out is None and '://' in root:
        raise OmniVLValueError('an index of URLs needs --out, a file on this machine')
    out = arguments.out or Path(root, INDEX)
    report = index_shards(root, names, out, arguments.workers, arguments.checksums)
    tell_troubles(report, out)
    print(f'{out}: {report.samples} samples in {report.shards} shards')
    same = os.path.abspath(root or '.') == os.path.abspath(out.parent)
    where = '' if same else f", visual_root='{root}'"
    print(f"use: annotations=dict(type='ShardIndex', ann_file='{out}'{where})")
    return 1 if report.troubles else 0
