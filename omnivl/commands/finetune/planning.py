"""Chooses batch, length and learning rate of a finetuning by a measurement of a few steps; each with its reason."""

import gc
import math
import os
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from omnivl.datasets.collate import collate_samples
from omnivl.datasets.samplers import SampleKey
from omnivl.engine.threads import SMALL, choose_threads
from omnivl.registry import DATASETS, MODELS

BATCH = 16  # visuals of a step, where they fit and there are so many
ROOM = 0.6  # of the free memory may be used
PASSES = {True: 30, False: 150}  # most passes over the data: from trained weights, from random ones
FEWEST_STEPS = 20
SAVED_EVERY = 60  # seconds: what a killed run loses at most
RATES = {False: 1e-3, True: 5e-4}  # of small models, AdamW: from random weights, from trained ones
LARGE_RATE = 2e-5  # of models of over SMALL parameters, as BLIP finetunes


@dataclass
class Measured:
    """What a few steps of a modality took.

    Attributes:
        items: Of its training data.
        compute: Seconds of a step.
        loading: Seconds of loading its batch with one process.
        item_bytes: Memory that another item of a batch takes.
    """

    items: int
    compute: float
    loading: float
    item_bytes: float


@dataclass
class Plan:
    """What was chosen.

    Attributes:
        batch: Visuals that go through the model at a time.
        accumulate: How many of these make a step.
        iterations: Steps.
        save_every: Steps between checkpoints.
        lr: The largest learning rate.
        workers: Processes that load.
        notes: The choices with their reasons.
    """

    batch: int
    accumulate: int
    iterations: int
    save_every: int
    lr: float
    workers: int
    notes: list[str]


@dataclass
class Wishes:
    """What the command line asks for; None = chosen here."""

    minutes: float
    batch: int | None = None
    steps: int | None = None
    lr: float | None = None


def make_plan(cfg: Config, wishes: Wishes, is_trained: bool) -> Plan:
    """Measure a few steps of a config, and choose.

    Args:
        cfg: A config of a finetuning, with any batch and length.
        wishes: What was asked for.
        is_trained: Whether it starts from trained weights.

    Returns:
        The plan.
    """
    init_default_scope('omnivl')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model = MODELS.build(cfg.model).to(device)
    notes = [line] if (line := choose_threads(model)) else []
    parameters = sum(parameter.numel() for parameter in model.parameters())
    data = {name: DATASETS.build(dict(loader.dataset)) for name, loader in cfg.train_dataloader.items()}
    smallest = min(len(dataset) for dataset in data.values())
    wanted = wishes.batch or min(BATCH, smallest)
    measured = {name: _measure(model, dataset, min(4, smallest)) for name, dataset in data.items()}
    fits = max(1, int(ROOM * free_bytes(device) // max(1.0, *(one.item_bytes for one in measured.values()))))
    batch = min(wanted, fits, smallest)
    accumulate = math.ceil(wanted / batch) if wishes.batch is None else 1
    usual = f'usual for small data ({BATCH})' if wanted == BATCH else f'all that there are of a modality ({smallest})'
    reason = 'as asked' if wishes.batch else usual
    if batch < wanted:
        reason = f'what fits into {free_bytes(device) / 1e9:.1f} GB of free memory, {accumulate} of them an update'
    notes.append(f'batch: {batch}, {reason}')
    measured = {name: _measure(model, dataset, batch) for name, dataset in data.items()}
    del model
    gc.collect()
    workers = min(2, max(1, (os.cpu_count() or 1) - 1))
    steps, seconds, note = _steps(measured, batch, accumulate, workers, wishes, is_trained)
    rate = wishes.lr or (RATES[is_trained] if parameters < SMALL else LARGE_RATE)
    size = f'{parameters / 1e6:.1f} M parameters from {"trained" if is_trained else "random"} weights'
    notes += [note, f'learning rate: {rate:g}, {"as asked" if wishes.lr else f"for {size}"}']
    return Plan(batch, accumulate, steps, max(1, min(steps, int(SAVED_EVERY / seconds))), rate, workers, notes)


def _steps(
    measured: dict[str, Measured], batch: int, accumulate: int, workers: int, wishes: Wishes, is_trained: bool
) -> tuple[int, float, str]:
    """Choose the number of steps: what the time allows, but no more passes than are of use; with seconds of one."""
    step = accumulate * sum(max(one.compute, one.loading / workers) for one in measured.values()) / len(measured)
    in_pass = sum(one.items / (batch * accumulate) for one in measured.values())
    if wishes.steps is not None:
        return wishes.steps, step, f'steps: {wishes.steps}, as asked; about {wishes.steps * step:.0f} s'
    by_time, by_passes = int(60 * wishes.minutes / step), int(PASSES[is_trained] * in_pass)
    steps = max(FEWEST_STEPS, min(by_time, by_passes))
    why = (
        f'{wishes.minutes:g} minutes'
        if by_time < by_passes
        else f'{PASSES[is_trained]} passes, more is learning by heart'
    )
    seconds = f'about {steps * step:.0f} s at {step:.3f} s a step, measured'
    return steps, step, f'steps: {steps}, {steps / in_pass:.1f} passes over the data ({why}); {seconds}'


def _measure(model: torch.nn.Module, dataset: Any, batch: int) -> Measured:
    """Load and compute two steps of a batch, the first one to warm up."""
    is_cuda = next(model.parameters()).device.type == 'cuda'
    before = _used_bytes(is_cuda)
    compute = loading = 0.0
    prepare = cast(torch.nn.Module, model.data_preprocessor)
    for turn in range(2):
        start = time.perf_counter()
        items = [dataset[SampleKey((turn * batch + number) % len(dataset), 0)] for number in range(batch)]
        loading = time.perf_counter() - start
        start = time.perf_counter()
        losses = model(**prepare(collate_samples(items), True), mode='loss')
        sum(value for key, value in losses.items() if key.startswith('loss')).backward()
        model.zero_grad(set_to_none=True)
        if is_cuda:
            torch.cuda.synchronize()
        compute = time.perf_counter() - start
    # The optimizer's part, and the log's, are small beside the passes through the model.
    return Measured(len(dataset), 1.15 * compute, loading, max(0, _used_bytes(is_cuda) - before) / batch)


def _used_bytes(is_cuda: bool) -> int:
    """Return the most memory that was in use so far."""
    if is_cuda:
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def free_bytes(device: str) -> int:
    """Return the memory that is free on the GPU, or on this machine, within the limit of its container."""
    if device == 'cuda':
        return torch.cuda.mem_get_info()[0]
    free = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    memory = Path('/proc/meminfo')
    # What the system holds of files can be had, too.
    if memory.is_file() and (available := re.search(r'MemAvailable: +(\d+) kB', memory.read_text())):
        free = 1024 * int(available[1])
    limit, used = Path('/sys/fs/cgroup/memory.max'), Path('/sys/fs/cgroup/memory.current')
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()).isdigit():
        free = min(free, int(most) - int(used.read_text()))
    return max(free, 0)
