"""Runs what is missing of a study, several at a time, and remembers what is done."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from types import FrameType

from omnivl.errors import OmniVLRuntimeError
from omnivl.storage.checkpoint import find_checkpoints, number_in
from omnivl.storage.files import write_json, write_text

from ..pages.render import duration
from .describe import Preparation
from .keys import PACKAGE
from .plan import Plan, Run

DONE = 'done.json'
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def folder_of(run: Run, out: Path) -> Path:
    """Return the folder of a run."""
    return out / 'runs' / run.key


def is_done(run: Run, out: Path) -> bool:
    """Tell whether a run is finished."""
    return (folder_of(run, out) / DONE).is_file()


def read_done(run: Run, out: Path) -> dict:
    """Read what a finished run says of itself."""
    return json.loads((folder_of(run, out) / DONE).read_text(encoding='utf-8'))


def is_prepared(key: str, preparation: Preparation, out: Path) -> bool:
    """Tell whether a preparation was made with what decides it today."""
    stamp = out / 'preparations' / f'{preparation.name}.key'
    return stamp.is_file() and stamp.read_text(encoding='utf-8') == key


def last_checkpoint(run: Run, out: Path) -> Path | None:
    """Find the last checkpoint of a training."""
    return next(iter(find_checkpoints(folder_of(run, out))), None)


def commit() -> str:
    """Name the commit of the code, with ``+`` where files were changed since; empty outside of a checkout."""
    asked = (['rev-parse', 'HEAD'], ['status', '--porcelain', '--untracked-files=no'])
    try:
        answers = [
            subprocess.run(['git', '-C', str(PACKAGE), *words], capture_output=True, text=True) for words in asked
        ]
    except OSError:  # there is no git
        return ''
    return '' if answers[0].returncode else answers[0].stdout.strip() + ('+' if answers[1].stdout.strip() else '')


@dataclass
class Conductor:
    """Starts runs in processes of their own, and waits for them.

    Attributes:
        plan: The plan of the study.
        out: Its folder.
        jobs: Runs at a time.
        active: What runs, with its run and when it began.
        asked: The signal that asked it to end; 0 = none.
        told: What was asked to save and to leave, which is done once.
    """

    plan: Plan
    out: Path
    jobs: int
    active: dict[subprocess.Popen, tuple[Run, float]] = field(default_factory=dict)
    asked: int = 0
    told: set[subprocess.Popen] = field(default_factory=set)

    def conduct(self, missing: Sequence[Run]) -> None:
        """Prepare the data and run what is missing.

        Args:
            missing: Runs that are not done, each after those that it needs.

        Raises:
            OmniVLRuntimeError: A run failed.
        """
        self.commit = commit()
        with self._listening():
            if missing:
                self._prepare()
            waiting, failed = list(missing), ''
            while (waiting and not failed and not self.asked) or self.active:
                while len(self.active) < self.jobs and not failed and not self.asked:
                    ready = [run for run in waiting if run.start is None or is_done(run.start, self.out)]
                    if not ready:
                        break
                    waiting.remove(ready[0])
                    self._start(ready[0])
                time.sleep(0.05)
                for process in [process for process in self.active if process.poll() is not None]:
                    failed = self._finish(process, waiting) or failed
                if failed or self.asked:
                    self._end_all()
            if failed and not self.asked:
                raise OmniVLRuntimeError(failed)
        if self.asked:
            print('stopped; the same command goes on from here', file=sys.stderr)
            sys.exit(128 + self.asked)

    def time_left(self, missing: Sequence[Run]) -> float | None:
        """Estimate what runs take, from those that are done.

        Args:
            missing: The runs.

        Returns:
            Seconds; None where none of that kind is done.
        """
        rates: dict[tuple, list[float]] = defaultdict(list)
        for run in self.plan.runs.values():
            if is_done(run, self.out):
                rate = read_done(run, self.out)['seconds'] / max(1, run.steps)
                rates[run.kind, run.config].append(rate)
                rates[(run.kind,)].append(rate)
        total = 0.0
        for run in missing:
            known = rates.get((run.kind, run.config)) or rates.get((run.kind,))
            if not known:
                return None
            total += mean(known) * max(1, run.steps)
        return total / self.jobs

    def _prepare(self) -> None:
        for key, one in self.plan.preparations.items():
            if is_prepared(key, one, self.out) or self.asked:
                continue
            print(f'making {one.name}', flush=True)
            log = self.out / 'preparations' / f'{one.name}.log'
            log.parent.mkdir(parents=True, exist_ok=True)
            words = [word.replace('{out}', str(self.out)) for word in one.command]
            with log.open('ab') as file:
                done = subprocess.run([sys.executable, *words], stdout=file, stderr=file, env=environment())
            code = done.returncode
            if code and not self.asked:
                raise OmniVLRuntimeError(f'{one.name} failed, {told_end(code, log)}; its output is in {log}')
            if not code:
                write_text(log.with_suffix('.key'), key)

    def _start(self, run: Run) -> None:
        folder = folder_of(run, self.out)
        folder.mkdir(parents=True, exist_ok=True)
        options = dict(run.options)
        if run.kind == 'train' and run.start is not None:
            start = str(folder_of(run.start, self.out))
            if run.takes_reader:
                options['load_from.file'] = start
            else:
                options['load_from'] = dict(type='StageReader', file=start)
        asked = dict(kind=run.kind, config=run.config, options=options)
        if run.kind == 'test' and run.start is not None:
            asked['checkpoint'] = str(last_checkpoint(run.start, self.out))
        write_json(folder / 'run.json', asked)
        self.active[start_process(folder)] = (run, time.monotonic())

    def _finish(self, process: subprocess.Popen, waiting: Sequence[Run]) -> str:
        """Write down that a run is done, and say so; returns what is to be told of one that failed."""
        run, began = self.active.pop(process)
        folder = folder_of(run, self.out)
        spent = folder / 'seconds.json'  # of this and of earlier, interrupted processes
        seconds = time.monotonic() - began + (json.loads(spent.read_text()) if spent.is_file() else 0.0)
        write_json(spent, round(seconds, 2))
        last = last_checkpoint(run, self.out) if run.kind == 'train' else None
        # A training that was asked to leave has saved and ended well, too.
        ended = run.kind == 'test' or (last is not None and (not run.steps or number_in(last)[1] >= run.steps))
        if process.returncode or not ended:
            log = folder / 'log.txt'
            return f'{run.title} failed, {told_end(process.returncode, log)}; its output is in {log}'
        said = dict(
            title=run.title,
            kind=run.kind,
            config=run.config,
            changes=dict(run.changes),
            seed=run.seed,
            steps=run.steps,
            start=run.start.key if run.start else None,
            commit=self.commit,
            seconds=round(seconds, 2),
            time=time.strftime('%Y-%m-%d %H:%M:%S'),
        )
        write_json(folder / DONE, said)
        left = self.time_left([*waiting, *(other for other, _ in self.active.values())])
        about = f'; about {duration(left)} left' if left else ''
        done = sum(is_done(other, self.out) for other in self.plan.runs.values())
        print(f'[{done}/{len(self.plan.runs)}] {run.title}: {duration(seconds)}{about}', flush=True)
        return ''

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Take note of signals while the block runs; what runs is then asked to save and to leave."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        heard = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
        for number in heard:
            signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number, handler in heard.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _: FrameType | None) -> None:
        self.asked = number

    def _end_all(self) -> None:
        for process in self.active.keys() - self.told:
            self.told.add(process)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def start_process(folder: Path) -> subprocess.Popen:
    """Start the run of a folder in a session of its own, so that Ctrl-C reaches it once, from here."""
    words = [sys.executable, '-m', 'omnivl.commands.study.work', str(folder)]
    with (folder / 'log.txt').open('ab') as log:
        return subprocess.Popen(words, stdout=log, stderr=log, env=environment(), start_new_session=True)


def environment() -> dict[str, str]:
    """Return the variables of a run: one thread, and this package."""
    paths = [str(PACKAGE), *filter(None, [os.environ.get('PYTHONPATH')])]
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join(paths)}


def told_end(code: int, log: Path) -> str:
    """Say how a process ended: the signal, or its exit code and the last line that it wrote."""
    if code < 0:
        return f'ended by {signal.Signals(-code).name}'
    lines = [line.strip() for line in log.read_text(encoding='utf-8', errors='replace').splitlines() if line.strip()]
    return f'exit code {code}: {lines[-1] if lines else "it said nothing"}'
