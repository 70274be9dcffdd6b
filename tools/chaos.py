"""Disturb trainings in every way, resume them, and compare each with the run that nobody disturbed, bit for bit.

A run is killed (kill -9) as a whole, in a loader's worker, in one of its processes, in its launcher, while it writes a
checkpoint, while it starts; it is sent the signals of schedulers, once and twice; its disk is filled. It is then
started again with --resume until it ends. The same are weights, optimizer, schedulers, queues, places in the data,
random states and logged losses. The moments are drawn from --seed; what the table shows can be repeated by it.

Examples:
    python tools/chaos.py                             # a tiny training of its own, on one and two processes
    python tools/chaos.py --kinds main saving --rounds 5 --seed 7
    python tools/chaos.py --config CONFIG --cfg-options train_cfg.max_iters=30 default_hooks.checkpoint.interval=5
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from chaos_config import write_tiny_config

from omnivl.commands.errors import one_line_errors
from omnivl.errors import OmniVLRuntimeError
from omnivl.storage.checkpoint import find_checkpoints, load_checkpoint

ROOT = Path(__file__).parents[1]
COMPARED = ('state_dict', 'optimizer', 'param_schedulers', 'train_loop', 'random_states')
TIMES = ('time', 'data_time', 'samples_per_second', 'memory')  # differ from run to run; nothing else that is logged may
LEFT_BEHIND = 180.0  # seconds after which a process that outlives its run counts as left behind


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', help='what to train, seeded and logging every iteration; by default a tiny run')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='change the config')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=list(KINDS), help='what is done to the runs')
    parser.add_argument('--processes', nargs='+', type=int, default=[1, 2], help='processes of a run; by default 1 2')
    parser.add_argument('--rounds', type=int, default=1, help='how often each kind is tried')
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/chaos'), help='where the runs go')
    arguments = parser.parse_args()
    if min(arguments.processes) < 1 or arguments.rounds < 1:
        parser.error('--processes and --rounds must be at least 1')
    return arguments


class Run:
    """A training in a folder of its own, one start after the other."""

    def __init__(self, config: str, options: list[str], processes: int, folder: Path) -> None:
        self.config = config
        self.options = options
        self.processes = processes
        self.folder = folder
        self.log = folder.with_suffix('.log')

    def start(self, *more: str, limit: int | None = None) -> None:
        """Start it, with a limit on the size of the files that it may write, in bytes, if one is given."""
        command = [sys.executable, str(ROOT / 'tools/train.py'), self.config]
        if self.processes > 1:
            command = ['bash', str(ROOT / 'tools/dist_train.sh'), self.config, str(self.processes)]
        command += ['--work-dir', str(self.folder), *more]
        if self.options:
            command += ['--cfg-options', *self.options]
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = str(probe.getsockname()[1])
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
        environment = os.environ | dict(PYTHON=sys.executable, PORT=port, PYTHONPATH=paths, OMP_NUM_THREADS='1')
        self.starts = set(self.folder.glob('*/vis_data/scalars.json'))

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        with self.log.open('ab') as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True, preexec_fn=prepare
            )

    def trainers(self) -> list[int]:
        """List the processes that train, the first rank first."""
        if self.processes == 1:
            return [self.process.pid]
        return [process for process, command in children(self.process.pid) if 'train.py' in command]

    def everyone(self) -> list[int]:
        """List the launcher, the processes that train, and their workers."""
        trainers = self.trainers()
        return [self.process.pid, *trainers, *(pid for trainer in trainers for pid, _ in children(trainer))]

    def iteration(self) -> int:
        """Return the last iteration that this start has logged."""
        new = set(self.folder.glob('*/vis_data/scalars.json')) - self.starts
        return max((step for file in new for step in steps_of(file)), default=0)

    def wait_for(self, reached: Callable[[], Any], pause: float = 0.01) -> Any:
        """Wait until something holds or the run has ended, and return what it was."""
        while not (value := reached()) and self.process.poll() is None:
            time.sleep(pause)
        return value

    def end(self, known: list[int]) -> int:
        """Wait for its end and that of the processes ``known``, and return its exit code."""
        code = self.process.wait()
        deadline = time.monotonic() + LEFT_BEHIND
        while any(map(lives, known)):
            if time.monotonic() > deadline:
                raise OmniVLRuntimeError(f'processes were left behind: {list(filter(lives, known))}; see {self.log}')
            time.sleep(0.05)
        return code

    def finish(self) -> None:
        """Resume it, undisturbed, to its end."""
        self.start('--resume')
        if self.end([]):
            raise OmniVLRuntimeError(f'a run that nobody disturbed ended with an error; see the end of {self.log}')


def children(parent: int) -> list[tuple[int, str]]:
    """List the children of a process, number and command, the oldest first."""
    listed = subprocess.run(['ps', '-A', '-o', 'pid=,ppid=,args='], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return sorted((int(row[0]), row[-1]) for row in rows if int(row[1]) == parent and 'resource_tracker' not in row[-1])


def lives(process: int) -> bool:
    """Tell whether a process is there, and not only waiting to be taken note of."""
    state = subprocess.run(['ps', '-o', 'stat=', '-p', str(process)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith('Z')


def steps_of(file: Path) -> dict[int, dict[str, float]]:
    """Read iteration -> what a log says of it; a line that a full disk cut off is passed over."""
    steps = {}
    for line in file.read_text(errors='replace').splitlines():
        with contextlib.suppress(ValueError):
            values = json.loads(line)
            if 'lr' in values:
                steps[values['step']] = {key: value for key, value in values.items() if not key.endswith(TIMES)}
    return steps


def logged(folder: Path) -> dict[int, dict[str, float]]:
    """Read what was logged of each iteration; where a run was cut off and went on, the later line counts."""
    files = sorted(folder.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime_ns)
    return {step: values for file in files for step, values in steps_of(file).items()}


def difference(one: Any, two: Any, name: str) -> str | None:
    """Name the first place in which two nested values differ, bit for bit."""
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        found = (difference(one[key], two[key], f'{name}.{key}') for key in one)
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        found = (difference(left, right, f'{name}[{index}]') for index, (left, right) in enumerate(zip(one, two)))
    elif isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return None if one.dtype == two.dtype and torch.equal(one, two) else name
    else:
        return None if type(one) is type(two) and (one == two or (one != one and two != two)) else name
    return next(filter(None, found), None)


def compare(whole: Path, run: Path) -> str | None:
    """Name the first thing in which the ends of two runs differ."""
    one, two = (load_checkpoint(find_checkpoints(folder)[0]) for folder in (whole, run))
    parts = [{name: content.get(name) for name in COMPARED} for content in (one, two)]
    return difference(*parts, 'checkpoint') or difference(logged(whole), logged(run), 'log')


@dataclass
class Case:
    """One disturbance of one run, and what came of it."""

    kind: str
    run: Run
    draw: random.Random
    last: int
    startup: float
    size: int
    at: int = 0
    code: int = 0
    resumed: str = '-'
    differs: str | None = None
    known: list[int] = field(default_factory=list)

    def disturb(self) -> None:
        """Start the run, disturb it at a drawn moment, and wait until it and all its processes have ended."""
        own_disk = self.run.folder.is_mount()
        self.run.start(limit=self.size // 2 if self.kind == 'full disk' and not own_disk else None)
        if self.kind != 'start-up':
            moment = self.draw.randint(1, self.last - 1)
            self.run.wait_for(lambda: self.run.iteration() >= moment)
        self.known = self.run.everyone()
        KINDS[self.kind](self)
        self.at = self.run.iteration()
        self.code = self.run.end(self.known)

    def send(self, number: int, *processes: int) -> None:
        """Send a signal to processes that may have ended by now."""
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def kill_main(case: Case) -> None:
    """Kill the first process that trains."""
    case.send(signal.SIGKILL, *case.run.trainers()[:1])


def kill_worker(case: Case) -> None:
    """Kill a worker of a loader."""
    trainers = case.run.trainers()
    workers = children(case.draw.choice(trainers)) if trainers else []
    case.send(signal.SIGKILL, *(pid for pid, _ in workers[:1]))


def kill_rank(case: Case) -> None:
    """Kill the last process that trains."""
    case.send(signal.SIGKILL, *case.run.trainers()[-1:])


def kill_launcher(case: Case) -> None:
    """Kill what started the processes; they have to end by themselves."""
    case.send(signal.SIGKILL, case.run.process.pid)


def kill_saving(case: Case) -> None:
    """Kill the first process in the middle of a checkpoint, whose temporary file tells."""
    first = case.run.trainers()[:1]
    case.run.wait_for(lambda: any(case.run.folder.glob('.*.pth.*.tmp')), pause=0.001)
    case.send(signal.SIGKILL, *first)


def kill_start(case: Case) -> None:
    """Kill everything before the first iteration."""
    time.sleep(case.draw.uniform(0.05, 0.95) * case.startup)
    case.known = case.run.everyone()
    case.send(signal.SIGKILL, *case.known)


def send_once(number: int) -> Callable[[Case], None]:
    """Make the kind that sends a signal to the run, as a scheduler does."""
    return lambda case: case.send(number, case.run.process.pid)


def send_twice(case: Case) -> None:
    """Send a second signal, at once or when it means to leave at once."""
    case.send(signal.SIGTERM, case.run.process.pid)
    time.sleep(case.draw.uniform(0.0, 1.5))
    case.send(signal.SIGTERM, case.run.process.pid)


def fill_disk(case: Case) -> None:
    """Fill the disk of the run until it ends, then make room; without a disk of its own its files have a limit."""
    if not case.run.folder.is_mount():
        case.run.process.wait()
        return
    filler = case.run.folder / 'filler'
    with filler.open('wb', buffering=0) as file:
        while case.run.process.poll() is None:
            with contextlib.suppress(OSError):
                while file.write(bytes(1 << 12)):
                    pass
            time.sleep(0.05)
    filler.unlink()


KINDS: dict[str, Callable[[Case], None]] = {
    'main': kill_main,
    'worker': kill_worker,
    'rank': kill_rank,
    'launcher': kill_launcher,
    'saving': kill_saving,
    'start-up': kill_start,
    'SIGTERM': send_once(signal.SIGTERM),
    'SIGUSR1': send_once(signal.SIGUSR1),
    'twice': send_twice,
    'full disk': fill_disk,
}
ONLY_SEVERAL = ('rank', 'launcher')


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Put a file system of ``size`` bytes at a folder where this user may, while the block runs."""
    folder.mkdir(parents=True)
    command = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(folder)]
    mounted = subprocess.run(command, capture_output=True).returncode == 0 if shutil.which('mount') else False
    try:
        yield
    finally:
        if mounted:
            subprocess.run(['umount', str(folder)], check=True)


def run_whole(run: Run) -> tuple[int, float, int]:
    """Run undisturbed; returns its iterations, its seconds before the first, and the bytes of a checkpoint."""
    started = time.monotonic()
    run.start()
    run.wait_for(run.iteration)
    startup = time.monotonic() - started
    if run.end([]) or len(steps := logged(run.folder)) < max(steps, default=0) or max(steps, default=0) < 3:
        raise OmniVLRuntimeError(
            f'the undisturbed run failed, has fewer than 3 iterations, or does not log each of them (set '
            f'default_hooks.logger.interval=1); see {run.log}'
        )
    return max(steps), startup, find_checkpoints(run.folder)[0].stat().st_size


def try_case(case: Case, whole: Path) -> None:
    """Disturb a run, resume it, compare it with the whole one, and remove it if it is the same."""
    folder = case.run.folder
    disk = small_disk(folder, 20 * case.size) if case.kind == 'full disk' else contextlib.nullcontext()
    with disk:
        try:
            case.disturb()
            if case.code:
                saved = find_checkpoints(folder)[:1]
                case.resumed = str(load_checkpoint(saved[0])['train_loop']['iteration']) if saved else 'the start'
                case.run.finish()
            case.differs = compare(whole, folder)
        except OmniVLRuntimeError as error:
            case.differs = str(error)
    if case.differs is None:
        shutil.rmtree(folder)


def main() -> None:
    """Disturb runs, print a table, and end with code 1 if one of them differs."""
    arguments = parse_arguments()
    root = arguments.work_dir.absolute() / time.strftime('%Y%m%d_%H%M%S')
    cases = []
    with one_line_errors():
        config = arguments.config or write_tiny_config(root / 'data')
        planned = [
            (number, processes, kind)
            for processes in arguments.processes
            for number in range(arguments.rounds)
            for kind in arguments.kinds
            if processes > 1 or kind not in ONLY_SEVERAL
        ]
        whole: dict[int, Run] = {}
        facts = {}
        for count, (number, processes, kind) in enumerate(planned):
            if processes not in whole:
                print(f'an undisturbed run on {processes} processes ...', flush=True)
                whole[processes] = Run(config, arguments.cfg_options, processes, root / f'whole_{processes}')
                facts[processes] = run_whole(whole[processes])
            folder = root / f'{kind.replace(" ", "_")}_{processes}_{number}'
            run = Run(config, arguments.cfg_options, processes, folder)
            draw = random.Random(f'{arguments.seed}-{number}-{processes}-{kind}')
            cases.append(case := Case(kind, run, draw, *facts[processes]))
            print(f'[{count + 1}/{len(planned)}] {kind}, {processes} processes ... ', end='', flush=True)
            try_case(case, whole[processes].folder)
            print('the same' if case.differs is None else f'differs: {case.differs}', flush=True)
    line = '{:10} {:>9} {:>12} {:>9} {:>12}  {}'
    print('\n' + line.format('kind', 'processes', 'disturbed at', 'exit code', 'resumed from', 'end'))
    for case in cases:
        end = 'bit-equal' if case.differs is None else f'differs: {case.differs}'
        print(line.format(case.kind, case.run.processes, case.at, case.code, case.resumed, end))
    different = [case for case in cases if case.differs is not None]
    print(f'{len(cases) - len(different)} of {len(cases)} runs ended as the undisturbed one, bit for bit')
    if different:
        print(f'Next: their folders and logs are in {root}; --kinds and --seed {arguments.seed} repeat the moments')
        sys.exit(1)
    print('Next: the same for a training of yours, --config CONFIG (see --help)')


if __name__ == '__main__':
    main()
