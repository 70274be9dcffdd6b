"""What a training step of a CoCa costs beside one of OmniVL, with the same visual encoder and the same batch.

    python -m projects.coca.tools.cost

Both are the demo's; OmniVL gets CoCa's visual encoder. A step is forward, backward and AdamW on one batch of pictures
of noise with captions of random words, and OmniVL's has its momentum encoder, queues and matching in it. The steps of
both are timed by turns, in seconds of the processor on one thread, so that whatever else the machine does weighs on
both. Memory is counted and not sampled: what stays from step to step, and what a forward pass keeps for the backward.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from omnivl.engine import read_config
from omnivl.registry import MODELS
from omnivl.structures import VLBatch

COCA = 'projects/coca/configs/demo_pretrain.py'
OMNIVL = 'projects/demo/configs/pretrain_image.py'
WORDS = 12  # word pieces of most captions of the demo, with both ends


class Cost(NamedTuple):
    """What a step costs.

    Attributes:
        parameters: Number of all parameters, those of a momentum encoder included.
        seconds: Of each step, in the order of measuring.
        held: MiB of weights, buffers, gradients and the state of the optimizer.
        kept: MiB that the forward pass keeps for the backward pass beside them.
    """

    parameters: int
    seconds: list[float]
    held: float
    kept: float


def make_models() -> dict[str, nn.Module]:
    """Build both with random weights."""
    init_default_scope('omnivl')
    coca, omnivl = (copy.deepcopy(read_config(path).model) for path in (COCA, OMNIVL))
    omnivl.trunk.visual_encoder = coca.trunk.visual_encoder
    torch.manual_seed(0)
    return {'CoCa': MODELS.build(coca), 'OmniVL': MODELS.build(omnivl)}


def make_batch(model: nn.Module, size: int) -> VLBatch:
    """Draw pictures of the size that a model is made for, with texts."""
    generator = torch.Generator().manual_seed(0)
    height, width = model.trunk.visual_encoder.image_size
    words = model.trunk.text_encoder.word.num_embeddings
    return VLBatch(
        {'image': torch.randn(size, 1, 3, height, width, generator=generator)},
        text_ids=torch.randint(5, words, (size, WORDS), generator=generator),
        text_mask=torch.ones(size, WORDS, dtype=torch.bool),
        target_ids=torch.arange(size),
    )


def total_loss(model: nn.Module, batch: VLBatch) -> Tensor:
    """Add up the losses of a step, a scalar."""
    return sum(value for name, value in model.loss(batch).items() if name.startswith('loss_'))


def train_step(model: nn.Module, batch: VLBatch, optimizer: Optimizer) -> None:
    """Take one step."""
    optimizer.zero_grad()
    total_loss(model, batch).backward()
    optimizer.step()


def mebibytes(tensors: Iterable[Tensor], without: Iterable[Tensor] = ()) -> float:
    """Measure the storages of tensors, each once, but not those of others."""
    left_out = {tensor.untyped_storage().data_ptr() for tensor in without}
    storages = {storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(size for place, size in storages.items() if place not in left_out) / 2**20


def kept_for_backward(model: nn.Module, batch: VLBatch) -> list[Tensor]:
    """List the tensors that a forward pass keeps."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total_loss(model, batch)
    return found


def measure(size: int = 16, repeats: int = 20) -> dict[str, Cost]:
    """Measure both by turns.

    Args:
        size: Pictures in a batch.
        repeats: How often each is timed.

    Returns:
        Name -> cost.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    models = make_models()
    batch = make_batch(models['CoCa'], size)
    optimizers = {name: AdamW(model.parameters(), fused=True) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(repeats + 2):
        for name, model in models.items():
            start = time.process_time()
            train_step(model.train(), batch, optimizers[name])
            if turn >= 2:  # the first ones warm up
                seconds[name].append(time.process_time() - start)
    costs = {}
    for name, model in models.items():
        held = [*model.parameters(), *model.buffers()]
        held += [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        held += [value for state in optimizers[name].state.values() for value in state.values()]
        kept = mebibytes(kept_for_backward(model, batch), without=held)
        costs[name] = Cost(sum(p.numel() for p in model.parameters()), seconds[name], mebibytes(held), kept)
    torch.set_num_threads(threads)
    return costs


def cost_table(costs: Mapping[str, Cost]) -> str:
    """Write both and the ratio of the second to the first as Markdown; of the times the median and the range."""
    lines = [
        '| | parameters, million | step, s | weights, gradients, optimizer, MiB | kept for the backward pass, MiB |',
        '| --- |' + ' ---: |' * 4,
    ]
    values = []
    for name, cost in costs.items():
        median = statistics.median(cost.seconds)
        values.append((cost.parameters / 1e6, median, cost.held, cost.kept))
        time_range = f'{median:.3f} ({min(cost.seconds):.3f} to {max(cost.seconds):.3f})'
        lines.append(f'| {name} | {values[-1][0]:.2f} | {time_range} | {cost.held:.1f} | {cost.kept:.1f} |')
    ratios = ' | '.join(f'{one / other:.2f}' for one, other in zip(*values, strict=True))
    return '\n'.join([*lines, f'| {" / ".join(costs)} | {ratios} |'])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batch', type=int, default=16, help='pictures in a batch')
    parser.add_argument('--repeats', type=int, default=20, help='how often each is timed, by turns')
    arguments = parser.parse_args()
    print(cost_table(measure(arguments.batch, arguments.repeats)))


if __name__ == '__main__':
    main()
