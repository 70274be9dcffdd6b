"""Sharded tensors, of which each rank has a part: that part, the whole, and a whole one cut as another is."""

import sys
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def is_sharded(value: object) -> bool:
    """Tell whether a value is a tensor of which each rank has a part (a ``DTensor``)."""
    # Who has made one has loaded its module, which takes a while.
    module = sys.modules.get('torch.distributed.tensor')
    return module is not None and isinstance(value, module.DTensor)


def local_part(tensor: Tensor) -> Tensor:
    """Return what this rank has of a sharded tensor, on the same memory; any other tensor as it is."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def whole(value: Any, keep: bool = True, known: dict[int, Tensor | None] | None = None) -> Any:
    """Join the parts of all sharded tensors in a nested value; every rank must call it.

    Args:
        value: Nested dicts, lists and tuples with the same sharded tensors, in one order, on all ranks.
        keep: Whether this rank wants the result; else joined tensors are let go of, and None is in their place.
        known: Sharded tensors, by id, that have been joined: of one that is there twice the result is, too.

    Returns:
        The same with whole tensors without gradient, those that were sharded on the CPU.
    """
    known = {} if known is None else known
    if is_sharded(value):
        if id(value) not in known:
            full = value.detach().full_tensor()
            known[id(value)] = full.cpu() if keep else None
        return known[id(value)]
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {key: whole(item, keep, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(whole(item, keep, known) for item in value)
    return value


def shard_like(value: Tensor, own: Tensor) -> Tensor:
    """Cut a whole tensor, which each rank has, as ``own`` is cut; where that is not sharded return it as it is."""
    if not is_sharded(own) or is_sharded(value):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements, src_data_rank=None)  # type: ignore[attr-defined]
