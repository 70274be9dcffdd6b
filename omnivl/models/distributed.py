"""The two exchanges between ranks that the losses need; both are the identity in one process."""

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
