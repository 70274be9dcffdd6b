"""The exchanges between ranks that the losses need; all are the identity in one process."""

from typing import Any

import torch
from mmengine import dist
from torch import Tensor


@torch.no_grad()
def gather_batch(tensor: Tensor) -> Tensor:
    """Join a tensor (B, ...) of every rank to (R * B, ...), in order of ranks, without gradient.

    B is the same on all ranks: training drops the last, smaller batch, and broken samples are replaced.
    """
    if dist.get_world_size() == 1:
        return tensor.detach()
    return torch.cat(dist.all_gather(tensor.detach().contiguous()))


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Join a tensor (B, ...) of every rank as ``gather_batch`` does, with gradient.

    What all ranks do with it flows back: a rank's part gets the sum of the gradients of all ranks. With losses that are
    means over the rank's own samples, gradients that are averaged over ranks (as DDP does) are then those of one
    process with the joined batch.
    """
    return tensor if dist.get_world_size() == 1 else _Gather.apply(tensor)


class _Gather(torch.autograd.Function):
    # PyTorch's own with gradient, torch.distributed.nn, is deprecated since 2.14, and what follows it is private.
    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        context.batch = len(tensor)
        return gather_batch(tensor)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].clone(memory_format=torch.contiguous_format)  # what is handed in may be used elsewhere
        dist.all_reduce(summed)
        first = context.batch * dist.get_rank()
        return summed[first : first + context.batch]


@torch.no_grad()
def mean_over_ranks(count: Tensor) -> Tensor:
    """Average a scalar over ranks.

    A loss that is a sum divided by this, rather than by the local count, has gradients that average (as DDP does) to
    those of one process with the joined batch, however unevenly the ranks' samples count.
    """
    if dist.get_world_size() == 1:
        return count.detach()
    mean = count.detach().clone().float()
    dist.all_reduce(mean, op='mean')
    return mean
