"""How many threads the steps compute with: one, unless a few steps of the demo's model are clearly faster with more.

Two cores are left to the workers of the loaders and to whatever else runs, so on two cores there is no choice: threads
that wait for one that has lost its core spin, and a step that takes 0.06 s with two threads on two free cores takes
3.6 s beside two busy processes (0.09 s and 0.14 s with one; 0.10 s and 0.18 s with two and OMP_WAIT_POLICY=passive).

The measurement takes seconds, is made once per work directory and machine, and is kept in ``threads.json``. The number
goes to all steps by ``OMP_NUM_THREADS``, which a person may set instead.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FASTER = 1.15  # more threads have to gain so much
OTHERS = 2  # cores that are left to others: stage 2 has two workers
STEPS = 12

# Number of threads -> seconds of a training step.
Seconds = dict[int, float]


@dataclass(frozen=True)
class Threads:
    """How many threads, and what a training step takes with them.

    Attributes:
        line: What was chosen and why.
        step_seconds: Median of a training step of the demo on images; 0.0 where none was measured.
    """

    line: str
    step_seconds: float


def choose_threads(
    work_dir: Path, config: str, is_timed: bool = True, measure: Callable[[str, Iterable[int]], Seconds] | None = None
) -> Threads:
    """Set ``OMP_NUM_THREADS`` for what this process starts, unless it is set.

    Args:
        work_dir: Keeps the measurement.
        config: Path of a config whose model is measured.
        is_timed: Whether the time of a step is of use where there is nothing to choose.
        measure: Measures it; by default :func:`measure_steps`.

    Returns:
        What was chosen.
    """
    given = os.environ.get('OMP_NUM_THREADS', '')
    cores = len(os.sched_getaffinity(0))
    candidates = [int(given)] if given.isdigit() else sorted({1, max(1, cores - OTHERS)})
    known = {'seconds': []}
    if is_timed or len(candidates) > 1:
        known = _measured(work_dir / 'threads.json', config, candidates, measure or measure_steps)
    seconds = dict(known['seconds'])
    if given:
        return Threads(f'threads: {given} (OMP_NUM_THREADS)', seconds.get(candidates[0], 0.0))
    most = candidates[-1]
    chosen = most if seconds and seconds[most] * FASTER < seconds[1] else 1
    os.environ['OMP_NUM_THREADS'] = str(chosen)
    steps = ', '.join(f'{value:.3f} s with {count}' for count, value in seconds.items())
    why = [f'a step takes {steps}; load {known["load"]}'] if seconds else []
    why += ["the other cores are for the loaders' workers"] if len(candidates) == 1 else []
    line = f'threads: {chosen} of {cores} ({"; ".join(why)}; OMP_NUM_THREADS=N takes N)'
    return Threads(line, seconds.get(chosen, 0.0))


def _measured(file: Path, config: str, candidates: list[int], measure: Callable[..., Seconds]) -> dict[str, Any]:
    """Read a measurement of this machine and these numbers of threads, or make it."""
    machine = machine_of(candidates)
    known = json.loads(file.read_text()) if file.is_file() else {}
    if known.get('machine') != machine:
        seconds = measure(config, candidates)
        load = os.getloadavg()[0]
        known = dict(machine=machine, load=round(load, 1), seconds=[list(pair) for pair in seconds.items()])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known, indent=1) + '\n')
    return known


def machine_of(candidates: list[int]) -> str:
    """Say what a measurement is of: a machine, and the numbers of threads that were tried."""
    return f'{platform.node()}, {candidates} threads, {len(os.sched_getaffinity(0))} cores'


def measure_steps(config: str, candidates: Iterable[int]) -> Seconds:
    """Time training steps of a model on random images, in turn with each number of threads.

    Args:
        config: Path of its config.
        candidates: Numbers of threads.

    Returns:
        The median step of each; empty where a GPU computes.
    """
    import torch
    from mmengine.config import Config

    from omnivl.registry import MODELS

    if torch.cuda.is_available():
        return {}
    before = torch.get_num_threads()
    model = MODELS.build(Config.fromfile(config).model)
    batch = random_images()
    taken: dict[int, list[float]] = {count: [] for count in candidates}
    for _ in range(STEPS):
        for count, seconds in taken.items():
            torch.set_num_threads(count)
            start = time.perf_counter()
            losses = model.loss(batch)
            sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
            seconds.append(time.perf_counter() - start)
    torch.set_num_threads(before)
    # The first ones warm up.
    return {count: round(statistics.median(seconds[2:]), 4) for count, seconds in taken.items()}


def random_images(size: int = 16, words: int = 12, pixels: int = 64) -> Any:
    """Make a batch of noise with captions of random words."""
    import torch

    from omnivl.structures import VLBatch

    text_ids = torch.randint(5, 100, (size, words))
    text_ids[:, 0], text_ids[:, -1] = 2, 3
    return VLBatch(
        {'image': torch.randn(size, 1, 3, pixels, pixels)},
        text_ids=text_ids,
        text_mask=torch.ones_like(text_ids, dtype=torch.bool),
        target_ids=torch.arange(size),
    )
