"""Starting toy runs, also in processes of their own, and comparing them bit for bit."""

import json
import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import toys

from omnivl.engine import OmniVLRunner
from omnivl.storage import load_checkpoint

# Processes are forked from one that has loaded torch and done nothing else. Forked from the test process they would
# inherit what earlier tests started there: after a backward pass on autograd's own threads (a deep graph, a profiler),
# PyTorch refuses any other in a fork.
PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload(['omnivl.engine'])

# Seconds differ from run to run; everything else that is logged must not.
TIMES = ('time', 'data_time', 'samples_per_second', 'memory')


def train(work_dir: Path, name: str, stop: dict | None = None, **changes: Any) -> OmniVLRunner:
    """Train a toy run, up to where it is stopped."""
    if stop is not None:
        changes['custom_hooks'] = [dict(type='StopHook', **stop)]
    runner = OmniVLRunner.from_cfg(toys.toy_config(work_dir, name, **changes))
    runner.train()
    return runner


def assert_same_run(first: Path, second: Path, iteration: int) -> None:
    """Compare weights, buffers, optimizer, schedulers, place and logged values of two runs, bit for bit."""
    one, two = (load_checkpoint(path / f'iter_{iteration}.pth') for path in (first, second))
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'train_loop', 'random_states'):
        assert_equal(one[part], two[part], part)
    assert_equal(logged(first), logged(second), 'log')


def assert_equal(one: Any, two: Any, name: str) -> None:
    """Compare two nested values bit for bit."""
    assert type(one) is type(two), name
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), name
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), name
        for key, value in one.items():
            assert_equal(value, two[key], f'{name}.{key}')
    elif isinstance(one, list):
        assert len(one) == len(two), name
        for index, (left, right) in enumerate(zip(one, two)):
            assert_equal(left, right, f'{name}[{index}]')
    else:
        assert one == two, name


def logged(work_dir: Path) -> dict[int, dict[str, float]]:
    """Iteration -> logged training values; where a run was cut off and went on, the later ones count."""
    lines = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime_ns):
        for line in path.read_text().splitlines():
            values = json.loads(line)
            if 'lr' in values:
                kept = {key: value for key, value in values.items() if not key.endswith(TIMES)}
                lines[values['step']] = kept
    return lines


def start_process(function: Callable[..., Any], *arguments: Any, **options: Any) -> BaseProcess:
    """Start a function in a process of its own, which begins with torch loaded."""
    process = PROCESSES.Process(target=_guarded, args=(function, arguments, options))
    process.start()
    return process


def run_ranks(function: Callable[..., None], *arguments: Any, ranks: int = 2, seconds: float = 300) -> None:
    """Run a function in several processes that find each other as torchrun's do."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    processes = [
        PROCESSES.Process(target=_as_rank, args=(rank, ranks, port, function, arguments)) for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds)
    assert [process.exitcode for process in processes] == [0] * ranks


def _as_rank(rank: int, ranks: int, port: int, function: Callable[..., None], arguments: tuple) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(ranks),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    _guarded(function, arguments, {})


def _guarded(function: Callable[..., Any], arguments: tuple, options: dict) -> None:
    torch.set_num_threads(1)
    code = 0
    try:
        function(*arguments, **options)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # not through pytest's own exit handlers
