"""What omnivl verify does: every file read once, with a log to go on from, and the list of broken ones written."""

import argparse
import copy
import json
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from omnivl.datasets import VisualDataset
from omnivl.datasets.overlap import find_copies, trained_and_evaluated
from omnivl.datasets.transforms.audio import NO_STREAM, SILENT
from omnivl.datasets.verification import ReadingPlan, read_all
from omnivl.engine import ConfigError, read_config
from omnivl.registry import DATASETS
from omnivl.storage import ProgressBar, write_text

from ..errors import with_exit_code
from ..options import MAX_SECONDS

LINES_EVERY = 30  # seconds, in a file


@dataclass
class Tally:
    """What has been read.

    Attributes:
        read: Number of visuals read of each source.
        bad: Of these, the broken ones.
        reasons: Path of each broken file -> source and reason.
    """

    read: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, source: str, path: str, reason: str | None) -> None:
        """Count a visual; ``reason`` is None for a good one."""
        self.read[source] += 1
        if reason is not None:
            self.bad[source] += 1
            self.reasons[path] = (source, reason)


def build_datasets(cfg: Config, roles: Sequence[str]) -> list[VisualDataset]:
    """Build the datasets of a config, mixtures taken apart, with the files that ``bad_files`` would leave out.

    Args:
        cfg: The config.
        roles: Which of its data.

    Returns:
        The datasets; of equal ones only the first.

    Raises:
        ConfigError: The config has no data of these roles.
    """
    return [DATASETS.build(part) for part in _parts_of(cfg, roles)]


def datasets_of(cfg: Config, roles: Sequence[str]) -> list[VisualDataset]:
    """Build the datasets of a config like :func:`build_datasets`, but with nothing read and without pipelines.

    Args:
        cfg: The config.
        roles: Which of its data.

    Returns:
        The datasets; files that ``bad_files`` names are left out.

    Raises:
        ConfigError: The config has no data of these roles.
    """
    parts: list[dict[str, Any]] = []
    for part in _parts_of(cfg, roles, keep_bad=True):
        part = dict(part, pipeline=[], lazy_init=True)
        if part not in parts:
            parts.append(part)
    return [DATASETS.build(part) for part in parts]


def _parts_of(cfg: Config, roles: Sequence[str], keep_bad: bool = False) -> list[dict[str, Any]]:
    configs = [loader['dataset'] for role in roles for loader in _loaders(cfg, role)]
    parts: list[dict[str, Any]] = []
    for config in configs:
        for part in config.get('datasets', [config]):
            # The list is written anew and has to be whole, so what an earlier one named is read again.
            part = dict(copy.deepcopy(part), **({} if keep_bad else dict(bad_files=None)))
            if part not in parts:
                parts.append(part)
    if not parts:
        raise ConfigError(f'the config has no data for {", ".join(roles)}')
    return parts


def _loaders(cfg: Config, role: str) -> Iterator[Mapping[str, Any]]:
    yield from (cfg.get(f'{role}_dataloader') or {}).values()
    for evaluator in (cfg.get(f'{role}_evaluator') or {}).values():
        own = (evaluator.get(key) for key in ('train', 'val'))  # what a probe is trained on
        yield from (loader for loader in own if isinstance(loader, Mapping))


def verify(
    plan: ReadingPlan,
    out: Path,
    workers: int,
    start_method: str = 'fork',
    max_seconds: float = MAX_SECONDS,
    allowed: Sequence[str] = (),
) -> Tally:
    """Read everything that is left to read, and write the list.

    Args:
        plan: What there is to read.
        out: The list. A log of what is done stands beside it until everything was read.
        workers: Number of processes.
        start_method: How they start.
        max_seconds: A file that takes longer is broken.
        allowed: Reasons that make no file a bad one.

    Returns:
        What was read, by this run and by those before it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    log_path = out.with_name(f'{out.name}.log')
    done, tally = read_log(log_path, plan)
    if len(done):
        print(f'{len(done)} files were read before; to start anew, delete {log_path}', file=sys.stderr)
    bar = ProgressBar('files', len(plan), done=len(done), lines_every=LINES_EVERY)
    with log_path.open('a', encoding='utf-8') as log, bar:
        for visual, reason in read_all(plan.loaders, plan.visuals(done), workers, start_method, max_seconds):
            reason = None if reason in allowed else reason
            tally.add(visual.source, visual.path, reason)
            log.write(json.dumps([visual.key, visual.source, visual.path, reason]) + '\n')
            bar.step(f'{len(tally.reasons)} bad')
    write_list(out, tally.reasons)
    log_path.unlink()
    return tally


def read_log(path: Path, plan: ReadingPlan) -> tuple[np.ndarray, Tally]:
    """Read what an interrupted run has done, and cut off the line that it did not finish.

    Args:
        path: Its log, one JSON list a line.
        plan: What there is to read; lines about other files are of another config and count for nothing.

    Returns:
        Keys of what was read, uint64 (M,), and what it has found.
    """
    tally, done = Tally(), array('Q')
    if not path.is_file():
        return np.array(done, np.uint64), tally
    with path.open('rb+') as log:
        whole = 0
        for line in log:
            if not line.endswith(b'\n'):
                log.truncate(whole)
                break
            whole += len(line)
            key, source, name, reason = json.loads(line)
            place = int(np.searchsorted(plan.keys, np.uint64(key)))
            if place < len(plan) and plan.keys[place] == key:
                done.append(key)
                tally.add(source, name, reason)
    return np.array(done, np.uint64), tally


def write_list(path: Path, reasons: Mapping[str, tuple[str, str]]) -> None:
    """Write the list that the datasets' ``bad_files`` takes.

    Args:
        path: The file; written even if nothing is broken, so that a config may name it.
        reasons: Path -> source and reason.
    """
    lines = []
    for name, (source, reason) in sorted(reasons.items()):
        lines += [f'# {source}: {" ".join(reason.split())}', name]
    write_text(path, ''.join(f'{line}\n' for line in lines))


def summary(plan: ReadingPlan, tally: Tally) -> str:
    """Say how much each source has.

    Args:
        plan: What there was to read.
        tally: What was read.

    Returns:
        A table; a file of several sources is counted with the first of them.
    """
    width = max(len('source'), *map(len, plan.items))
    lines = [f'{"source":{width}}  {"items":>10}  {"files read":>10}  {"bad":>6}']
    for name, items in plan.items.items():
        lines.append(f'{name:{width}}  {items:>10}  {tally.read[name]:>10}  {tally.bad[name]:>6}')
    return '\n'.join(lines)


@with_exit_code
def verify_config(arguments: argparse.Namespace) -> int:
    """Verify what the options of the command describe, and return the exit code."""
    cfg = read_config(arguments.config, arguments.trust_code)
    if arguments.overlap:
        return _list_copies(cfg, arguments)
    plan = ReadingPlan(build_datasets(cfg, arguments.roles))
    start_method = cfg.get('env_cfg', {}).get('mp_cfg', {}).get('mp_start_method', 'fork')
    allowed = (NO_STREAM, SILENT) if arguments.allow_silent else ()
    tally = verify(plan, arguments.out, arguments.workers, start_method, arguments.max_seconds, allowed)
    print(summary(plan, tally))
    use = f": put bad_files='{arguments.out}' into the datasets" if tally.reasons else ''
    print(f'{arguments.out}: {len(tally.reasons)} bad files{use}')
    return 1 if tally.reasons else 0


def _list_copies(cfg: Config, arguments: argparse.Namespace) -> int:
    reasons: dict[str, tuple[str, str]] = {}
    missing = compared = 0
    for train, held_out in trained_and_evaluated(cfg, [role for role in arguments.roles if role != 'train']):
        if train and held_out:
            copies, left_out = find_copies(train, held_out, arguments.workers)
            reasons |= copies
            missing, compared = missing + left_out, compared + 1
    if not compared:
        raise ConfigError(f'the config has no training and evaluation to compare, for {", ".join(arguments.roles)}')
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_list(arguments.out, reasons)
    use = f": put bad_files='{arguments.out}' into the datasets of the training" if reasons else ''
    unread = f'; {missing} files could not be compared' if missing else ''
    print(f'{arguments.out}: {len(reasons)} files of the training are files of an evaluation{use}{unread}')
    return 1 if reasons else 0
