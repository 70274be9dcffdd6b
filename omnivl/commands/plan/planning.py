"""Put a plan together: read the config, rehearse its steps, and add up what they cost."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config

from omnivl.engine import ConfigError
from omnivl.engine.command_line import is_test_only, read_changed_config
from omnivl.engine.fully_shard import FullyShard
from omnivl.engine.optim import PRECISIONS
from omnivl.engine.runner import named_class
from omnivl.models.layers.recompute import Recompute
from omnivl.registry import MODEL_WRAPPERS

from ..flops.counting import Meter, build_model
from .advice import ways_to_fit
from .costs import (
    Machine,
    StepCosts,
    Training,
    checkpoint_costs,
    fsdp_bytes,
    run_costs,
    step_bytes,
    task_facts,
)
from .gpus import find_gpu
from .memory import Load, Memory, Rehearsal
from .options import numbers_of
from .tasks import PlanError, Task, check_names, count_steps, test_tasks, training_tasks


def make_plan(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make the plan that the options of the command describe, as plain values."""
    cfg = read_changed_config(arguments)
    if 'model' not in cfg:
        raise ConfigError(f'{arguments.config} has no model')
    machines = {
        name: Machine(
            find_gpu(name, arguments.memory_gb, arguments.tflops),
            arguments.gpus,
            min(arguments.gpus_per_node, arguments.gpus),
            arguments.margin,
        )
        for name in arguments.gpu
    }
    plan: dict[str, Any] = dict(config=arguments.config, gpus=arguments.gpus)
    plan['cards'] = {name: asdict(machine.gpu) | dict(usable=machine.usable) for name, machine in machines.items()}
    on_gpu = arguments.gpu != ['cpu']
    if is_test_only(cfg):
        return plan | _plan_test(cfg, arguments, machines, on_gpu)
    return plan | _plan_training(cfg, arguments, machines, on_gpu)


def _plan_training(
    cfg: Config, arguments: argparse.Namespace, machines: Mapping[str, Machine], on_gpu: bool
) -> dict[str, Any]:
    if not all(isinstance(cfg.get(key), Mapping) and cfg[key] for key in ('optim_wrapper', 'train_cfg')):
        raise ConfigError(f'{arguments.config} has train_dataloader, but no optim_wrapper or no train_cfg')
    meta = build_model(cfg.model)
    tasks = training_tasks(cfg, meta, arguments)
    check_names(arguments, tasks)
    steps = count_steps(cfg, meta, tasks, arguments.gpus)
    measured = read_measured(arguments.measured, tasks) if arguments.measured else None
    precision = cfg.optim_wrapper.get('precision', 'fp32')
    if precision not in PRECISIONS:
        raise ConfigError(f'optim_wrapper.precision is {precision!r}; allowed: {", ".join(PRECISIONS)}')
    rehearsal = Rehearsal(cfg.model, cfg.optim_wrapper, on_gpu)
    training = _training(cfg, rehearsal, precision)
    costs = [_step_costs(task, steps.get(task.name, 0), meta, rehearsal, training) for task in tasks]
    plan: dict[str, Any] = dict(
        kind='training',
        training=asdict(training),
        steps=sum(steps.values()),
        tasks={one.task.name: task_facts(one) for one in costs},
        checkpoints=checkpoint_costs(costs[0].memory, training, sum(steps.values()) // training.accumulation),
        plans={},
    )
    for name, machine in machines.items():
        plan['plans'][name] = dict(
            runs=_runs(costs, training, machine, arguments.mfu, measured),
            memory={one.task.name: _memory_on(one, rehearsal, training, machine) for one in costs},
            precision_missing=training.precision == 'bf16' and not machine.gpu.bf16,
        )
    return plan


def _plan_test(
    cfg: Config, arguments: argparse.Namespace, machines: Mapping[str, Machine], on_gpu: bool
) -> dict[str, Any]:
    meta = build_model(cfg.model)
    tasks = test_tasks(cfg, meta, arguments)
    check_names(arguments, tasks)
    rehearsal = Rehearsal(cfg.model, None, on_gpu)
    precision = (cfg.get('test_cfg') or {}).get('amp') or 'fp32'
    plan: dict[str, Any] = dict(kind='test', precision=precision, tasks={}, plans={})
    for task in tasks:
        memory = rehearsal.encode(Load(task.modality, task.sizes, task.batch_size, None, precision))
        flops = dict(Meter(meta, task.modality, task.sizes, train=False).run())
        plan['tasks'][task.name] = task_facts(StepCosts(task, -(-task.items // task.batch_size), flops, memory, None))
    total = sum(facts['items'] * sum(facts['flops'].values()) for facts in plan['tasks'].values())
    for name, machine in machines.items():
        seconds = {share: total / arguments.gpus / machine.peak(precision) / share for share in arguments.mfu}
        fits = {one: facts['memory']['peak'] <= machine.usable for one, facts in plan['tasks'].items()}
        plan['plans'][name] = dict(seconds=seconds, fits=fits)
    return plan


def _training(cfg: Config, rehearsal: Rehearsal, precision: str) -> Training:
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    kept, between = checkpoint.get('max_keep_ckpts', -1), checkpoint.get('interval', -1)
    queues = getattr(rehearsal.model, 'queues', None)
    wrapping = cfg.get('model_wrapper_cfg') or {}
    return Training(
        precision=precision,
        accumulation=int(cfg.optim_wrapper.get('accumulative_counts', 1)),
        trained=sum(one.numel() for one in rehearsal.model.parameters() if one.requires_grad),
        embed_dim=0 if queues is None else queues.visual.shape[1],
        bucketed=not wrapping.get('gradient_as_bucket_view', False),
        fully_sharded=named_class(wrapping.get('type'), MODEL_WRAPPERS) is FullyShard,
        sharded=rehearsal.sharded_share(),
        largest_block=rehearsal.largest_block(),
        kept=kept if kept > 0 else None,
        between=between if between > 0 else None,
    )


def _step_costs(task: Task, steps: int, meta: Any, rehearsal: Rehearsal, training: Training) -> StepCosts:
    print(f'going through a step of {task.name} ...', file=sys.stderr)
    load = Load(task.modality, task.sizes, task.batch_size, task.losses, training.precision, training.accumulation > 1)
    flops = Meter(meta, task.modality, task.sizes, train=True, losses=task.losses).run()
    memory = rehearsal.step(load)
    ways: tuple[Recompute, ...] = (True, 'selective') if rehearsal.has_checkpointing() else ()
    recomputed: Sequence[Memory | None] = [rehearsal.recomputed(load, how) for how in ways] or [None]
    return StepCosts(task, steps, {name: count for name, count in flops.items() if count}, memory, *recomputed)


def _runs(
    costs: list[StepCosts],
    training: Training,
    machine: Machine,
    shares: list[float],
    measured: Mapping[str, float] | None,
) -> list[dict[str, Any]]:
    """Add up the run at each utilisation that is asked for, or with the times that were measured."""
    if measured is not None:
        return [dict(mfu=None) | run_costs(costs, training, machine, measured)]
    runs = []
    for share in shares:
        seconds = {one.task.name: one.seconds(machine, training.precision, share) for one in costs}
        runs.append(dict(mfu=share) | run_costs(costs, training, machine, seconds))
    return runs


def _memory_on(costs: StepCosts, rehearsal: Rehearsal, training: Training, machine: Machine) -> dict[str, Any]:
    """Say whether a step fits into a card, and what to do if not."""
    size = step_bytes(costs.memory, training, machine.gpus)
    fits = size <= machine.usable
    recomputed = costs.memory_recomputed
    return dict(
        step_bytes=size,
        step_bytes_recomputed=None if recomputed is None else step_bytes(recomputed, training, machine.gpus),
        fsdp2_bytes=fsdp_bytes(costs.memory, training, machine.gpus),
        fits=fits,
        ways=[] if fits else [asdict(way) for way in ways_to_fit(rehearsal, costs.task, training, machine)],
    )


def read_measured(words: list[str], tasks: list[Task]) -> dict[str, float]:
    """Read the option ``--measured``: seconds by task, or the work directory that has them."""
    batches = {task.name: task.batch_size for task in tasks}
    if len(words) == 1 and '=' not in words[0]:
        return _logged(Path(words[0]), batches)
    seconds = numbers_of(words, 'measured')
    if seconds.keys() != batches.keys():
        raise PlanError(
            f'--measured names {", ".join(seconds)}; the time of a step is needed of every task: {", ".join(batches)}'
        )
    return seconds


def _logged(work_dir: Path, batches: Mapping[str, int]) -> dict[str, float]:
    """Read the time of a step of each task from the curves of a run with one process and the same batch sizes."""
    if not work_dir.is_dir():
        raise PlanError(f'--measured takes TASK=SECONDS or the work directory of a run, there is no folder {work_dir}')
    last: dict[str, float] = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text(encoding='utf-8').splitlines():
            last |= json.loads(line)
    speeds = {name: last.get(f'{name}/samples_per_second') for name in batches}
    if missing := [name for name, speed in speeds.items() if not speed]:
        raise PlanError(
            f'{work_dir} has logged no samples_per_second of {", ".join(missing)} (*/vis_data/scalars.json): give '
            '--measured TASK=SECONDS'
        )
    return {name: batches[name] / speed for name, speed in speeds.items() if speed}
