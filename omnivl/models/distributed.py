"""The exchanges between ranks that the losses need; all are the identity in one process."""

from typing import Any

import torch
import torch.distributed as torch_dist
import torch.nn.functional as F
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


def fetch_rows(tensor: Tensor, wanted: Tensor) -> Tensor:
    """Fetch rows of the joined batch from the ranks that have them, with gradient.

    Args:
        tensor: This rank's part of the joined batch, (B, ...).
        wanted: For each row of the joined batch, in order of ranks, the row wanted in its place, int64 (R * B,);
            the same on all ranks.

    Returns:
        The rows that this rank's places want, (B, ...). A row gets the sum of the gradients of all places that it went
        to, as with ``gather_with_gradient``.
    """
    return tensor[wanted] if dist.get_world_size() == 1 else _Fetch.apply(tensor, wanted)


class _Fetch(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, tensor: Tensor, wanted: Tensor) -> Tensor:
        """Send each rank the rows that it wants of this one, and put those received in the order of the places."""
        count, rank = len(tensor), dist.get_rank()
        source = (wanted // count).view(-1, count)  # (R, B), by the rank that wants it
        context.sent = (wanted % count).view_as(source)[source == rank]  # in the order of the ranks that want them
        context.order = source[rank].argsort(stable=True)  # in that of the ranks that have them
        sizes = torch.stack([(source == rank).sum(1), torch.bincount(source[rank], minlength=len(source))])
        context.out, context.into = sizes.tolist()
        context.count = count
        received = _exchange(tensor[context.sent], context.out, context.into)
        return torch.empty_like(received).index_copy_(0, context.order, received)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        back = _exchange(gradients[0][context.order], context.into, context.out)
        return back.new_zeros(context.count, *back.shape[1:]).index_add_(0, context.sent, back), None


def _exchange(rows: Tensor, out: list[int], into: list[int]) -> Tensor:
    """Send ``out[r]`` of the rows to each rank r, in their order, and receive ``into[r]`` from each."""
    received = rows.new_empty(sum(into), *rows.shape[1:])
    torch_dist.all_to_all_single(received, rows.contiguous(), into, out)
    return received


@torch.no_grad()
def with_fetched_texts(text_ids: Tensor, text_mask: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Put texts of the joined batch behind those of this rank.

    Args:
        text_ids: int64 (B, L); the ranks may differ in L.
        text_mask: bool (B, L), True = real token.
        wanted: As for ``fetch_rows``.

    Returns:
        Ids and mask, (2B, L'), with the longest L of all ranks.
    """
    count, length = text_ids.shape
    longest = torch.tensor(length, device=text_ids.device)
    dist.all_reduce(longest, 'max')
    texts = F.pad(torch.stack([text_ids, text_mask.to(text_ids)], dim=1), (0, int(longest) - length))  # (B, 2, L')
    own = wanted.view(-1, count)[dist.get_rank()]
    text_ids, mask = torch.cat([texts, gather_batch(texts)[own]]).unbind(1)
    return text_ids, mask.bool()


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
