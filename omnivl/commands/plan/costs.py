"""What the steps of a run add up to: operations, time, network, loaders, disk; arithmetic on counted figures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .gpus import GPU
from .memory import Memory
from .tasks import Task

DAY = 86_400.0
FULL = 4  # bytes of a number of gradients, and of gathered features
HALF = 2


@dataclass(frozen=True)
class Machine:
    """What a run is planned for.

    Attributes:
        gpu: Each of the cards.
        gpus: How many.
        per_node: Of them in one machine.
        margin: Share of a card's memory that is left free, for what no operator asks for: the driver's context, the
            libraries' workspaces, holes between the allocator's blocks.
    """

    gpu: GPU
    gpus: int
    per_node: int
    margin: float

    @property
    def nodes(self) -> int:
        """Number of machines."""
        return -(-self.gpus // self.per_node)

    @property
    def usable(self) -> int:
        """Bytes of a card's memory that a step may take."""
        return int(self.gpu.memory * (1 - self.margin))

    def peak(self, precision: str) -> float:
        """Return the FLOP/s that a card reaches at best."""
        return self.gpu.single if precision == 'fp32' else self.gpu.half


@dataclass(frozen=True)
class Training:
    """What the steps of all tasks have in common.

    Attributes:
        precision: ``'fp32'``, ``'bf16'`` or ``'fp16'``.
        accumulation: Batches to an update.
        trained: Parameters that are trained.
        embed_dim: Width of the features that the ranks exchange; 0 = they exchange none.
        bucketed: Whether DDP keeps a second copy of the gradients to exchange them.
        fully_sharded: Whether it trains with FSDP2 (``model_wrapper_cfg.type=FullyShard``), and not with DDP.
        sharded: Share of the parameters that FSDP2 cuts into parts: the matrices of blocks.
        largest_block: Bytes of the largest block of the model.
        kept: Checkpoints that are kept; None = all.
        between: Updates between two of them; None = at the end only.
    """

    precision: str
    accumulation: int
    trained: int
    embed_dim: int
    bucketed: bool
    fully_sharded: bool
    sharded: float
    largest_block: int
    kept: int | None
    between: int | None


@dataclass(frozen=True)
class StepCosts:
    """What a task costs on each GPU.

    Attributes:
        task: The task.
        steps: Of the run.
        flops: Line of ``omnivl flops`` -> operations of a training step with one sample.
        memory: Of a step, as the config says.
        memory_recomputed: With the blocks of all parts recomputed; None where no part can.
        memory_selective: With what is quick to compute recomputed.
    """

    task: Task
    steps: int
    flops: Mapping[str, int]
    memory: Memory
    memory_recomputed: Memory | None
    memory_selective: Memory | None = None

    @property
    def step_flops(self) -> int:
        """Operations of a step on one GPU."""
        return sum(self.flops.values()) * self.task.batch_size

    def seconds(self, machine: Machine, precision: str, mfu: float) -> float:
        """Return the time of a step at a share of the card's peak."""
        return self.step_flops / (machine.peak(precision) * mfu)


def step_bytes(memory: Memory, training: Training, gpus: int) -> int:
    """Return what a step takes of a card; under DDP with buckets for the exchange of gradients beside its own."""
    if training.fully_sharded:
        return fsdp_bytes(memory, training, gpus)
    return memory.peak + (memory.gradients if training.bucketed and gpus > 1 else 0)


def fsdp_bytes(memory: Memory, training: Training, gpus: int) -> int:
    """Return what a step takes with the matrices of blocks cut into parts, and two blocks gathered at a time."""
    lasting = memory.weights + memory.gradients + memory.optimizer + memory.momentum_encoder
    rest = memory.peak - memory.weights - memory.optimizer - memory.momentum_encoder
    # Gradients come while activations go, so the peak may lie before them.
    passing = max(rest - memory.gradients, memory.activations + memory.batch + memory.queues)
    width = 1.0 if training.precision == 'fp32' else HALF / FULL
    kept = training.sharded / gpus + 1 - training.sharded
    return int(lasting * kept + passing + 2 * training.largest_block * width)


def network_bytes(costs: StepCosts, training: Training, gpus: int) -> dict[str, float]:
    """Return the bytes that each GPU sends in a step, and receives: gradients, features of the contrast; and of FSDP2.

    An all-reduce in a ring sends 2 (N - 1) / N of the values; it comes once per update. FSDP2 gathers what it has cut
    into parts for each of the two passes, at most in the precision of the computation, and scatters its gradients.
    """
    share = (gpus - 1) / gpus
    features = (gpus - 1) * costs.task.batch_size * (2 * training.embed_dim * FULL + 8) if training.embed_dim else 0
    reduced = 2 * share * training.trained * FULL / training.accumulation
    gathered = 2 * training.trained * (FULL if training.precision == 'fp32' else HALF)
    cut = share * (gathered + training.trained * FULL)
    return dict(
        gradients=reduced,
        features=float(features),
        fsdp2=training.sharded * cut + (1 - training.sharded) * reduced,
    )


def run_costs(
    all_costs: list[StepCosts], training: Training, machine: Machine, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Add up a run.

    Args:
        all_costs: Of each task.
        training: What they have in common.
        machine: What it runs on.
        seconds: Task -> time of a step.

    Returns:
        Days, operations and utilisation of the run; and of each task its step, network and loaders.
    """
    total = sum(costs.steps * seconds[costs.task.name] for costs in all_costs)
    flops = sum(costs.steps * costs.step_flops for costs in all_costs)
    tasks = {}
    for costs in all_costs:
        task, time = costs.task, seconds[costs.task.name]
        per_second = costs.steps * task.batch_size * machine.gpus / machine.nodes / total if total else 0.0
        file_bytes = task.file_bytes
        tasks[task.name] = dict(
            seconds=time,
            utilisation=costs.step_flops / time / machine.peak(training.precision),
            samples_per_second_per_gpu=task.batch_size / time,
            loader_samples_per_second_per_node=per_second,
            loader_pixel_bytes_per_second_per_node=per_second * task.pixel_bytes,
            loader_file_bytes_per_second_per_node=None if file_bytes is None else per_second * file_bytes,
            epoch_file_bytes=None if file_bytes is None else file_bytes * task.items,
            network_bytes=network_bytes(costs, training, machine.gpus),
        )
    return dict(
        days=total / DAY,
        gpu_days=total / DAY * machine.gpus,
        flops=flops * machine.gpus,
        utilisation=flops / (total * machine.peak(training.precision)) if total else 0.0,
        tasks=tasks,
    )


def checkpoint_costs(memory: Memory, training: Training, updates: int) -> dict[str, int]:
    """Return the bytes of a checkpoint, how many are kept, and what they take together."""
    size = memory.weights + memory.momentum_encoder + memory.queues + memory.optimizer
    written = 1 if training.between is None else -(-updates // training.between)
    count = written if training.kept is None else min(training.kept, written)
    return dict(bytes=size, kept=count, disk_bytes=size * count)


def task_facts(costs: StepCosts) -> dict[str, Any]:
    """Return what is counted of a task, as plain values."""
    task = costs.task
    return dict(
        modality=task.modality,
        sizes=task.sizes._asdict(),
        batch_size=task.batch_size,
        losses=task.losses,
        sources=[asdict(source) for source in task.sources],
        items=task.items,
        steps=costs.steps,
        flops=dict(costs.flops),
        step_flops=costs.step_flops,
        memory=asdict(costs.memory),
        memory_recomputed=None if costs.memory_recomputed is None else asdict(costs.memory_recomputed),
        memory_selective=None if costs.memory_selective is None else asdict(costs.memory_selective),
    )
