"""What to change where a step does not fit into a card, each way rehearsed before it is given."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .costs import Machine, Training, fsdp_bytes, step_bytes
from .memory import Load, Rehearsal
from .tasks import Task


@dataclass(frozen=True)
class Way:
    """A change and what a step then takes.

    Attributes:
        change: What to change, with the options of the config.
        bytes: That a step then takes of each card.
        fits: Whether that is within the card.
    """

    change: str
    bytes: int
    fits: bool


def ways_to_fit(rehearsal: Rehearsal, task: Task, training: Training, machine: Machine) -> list[Way]:
    """Rehearse what may bring a step into a card.

    Args:
        rehearsal: Of the model.
        task: Whose step is too large.
        training: What the config says of the training.
        machine: What it runs on.

    Returns:
        Recomputing, a lower precision, smaller batches (with accumulation, or more GPUs), and sharding.
    """
    own = Load(task.modality, task.sizes, task.batch_size, task.losses, training.precision, training.accumulation > 1)

    def way(load: Load, change: str) -> Way:
        size = step_bytes(rehearsal.step(load), training, machine.gpus)
        return Way(change, size, size <= machine.usable)

    variants = [(own, '')]
    if rehearsal.has_checkpointing() and not rehearsal.checkpoints_by_default():
        variants += [
            (replace(own, checkpointing=how), f'activation_checkpointing={how!r} in every part of model.trunk')
            for how in ('selective', True)
        ]
    if training.precision == 'fp32' and machine.gpu.bf16:
        variants += [
            (replace(load, precision='bf16'), ' and '.join(filter(None, (change, 'optim_wrapper.precision=bf16'))))
            for load, change in variants
        ]
    ways = [way(load, change) for load, change in variants[1:]]
    for load, change in (variants[0], variants[-1]) if len(variants) > 1 else variants:
        ways += _smaller_batches(rehearsal, task, training, machine, load, change)
    memory = rehearsal.step(own)
    if not training.fully_sharded and training.sharded and machine.gpus > 1:
        size = fsdp_bytes(memory, training, machine.gpus)
        ways.append(Way('model_wrapper_cfg.type=FullyShard (FSDP2)', size, size <= machine.usable))
    return ways


def _smaller_batches(
    rehearsal: Rehearsal, task: Task, training: Training, machine: Machine, load: Load, change: str
) -> Iterator[Way]:
    """Yield the way of the largest batch that fits, if one does: what a step takes grows with it in a straight line."""
    load = replace(load, accumulates=True)
    whole, one = (
        step_bytes(rehearsal.step(replace(load, batch_size=size)), training, machine.gpus)
        for size in (task.batch_size, 1)
    )
    if whole <= machine.usable or one > machine.usable or task.batch_size == 1:
        return
    batch = 1 + int((machine.usable - one) * (task.batch_size - 1) / (whole - one))
    times = -(-task.batch_size // batch)
    batch = -(-task.batch_size // times)  # as even as can be
    size = step_bytes(rehearsal.step(replace(load, batch_size=batch)), training, machine.gpus)
    yield Way(
        f'{change + " and " if change else ""}train_dataloader.{task.name}.batch_size={batch} with '
        f'optim_wrapper.accumulative_counts={training.accumulation * times}, or with {machine.gpus * times} GPUs',
        size,
        size <= machine.usable,
    )
