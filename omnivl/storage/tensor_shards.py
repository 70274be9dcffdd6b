"""Sharded tensors, of which each rank has a part: that part, the whole, and a whole one cut as another is."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omnivl.errors import OmniVLRuntimeError

PLACE = 'tensor_in_parts'  # in the place of a tensor: a dict of its name, under this key, and its shape


class Parts(NamedTuple):
    """What one rank keeps of a nested value.

    Attributes:
        frame: The value with a ``PLACE`` for each tensor, the same on all ranks.
        tensors: Name -> what this rank has of a tensor, on the CPU; rank 0 has those that are not sharded.
        offsets: Name -> the row of the whole tensor that it begins with.
    """

    frame: Any
    tensors: dict[str, Tensor]
    offsets: dict[str, int]


def is_sharded(value: object) -> bool:
    """Tell whether a value is a tensor of which each rank has a part (a ``DTensor``)."""
    # Who has made one has loaded its module, which takes a while.
    module = sys.modules.get('torch.distributed.tensor')
    return module is not None and isinstance(value, module.DTensor)


def local_part(tensor: Tensor) -> Tensor:
    """Return what this rank has of a sharded tensor, on the same memory; any other tensor as it is."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def whole(value: Any, keep: bool = True, copy: bool = False, known: dict[int, Tensor | None] | None = None) -> Any:
    """Join the parts of all sharded tensors in a nested value; every rank must call it.

    Args:
        value: Nested dicts, lists and tuples with the same sharded tensors, in one order, on all ranks.
        keep: Whether this rank wants the result; else joined tensors are let go of, and None is in their place.
        copy: Whether tensors that are not sharded are copied to the CPU, too.
        known: Tensors, by id, that have been joined or copied: of one that is there twice the result is, too.

    Returns:
        The same with whole tensors without gradient, those that were sharded on the CPU.
    """
    known = {} if known is None else known
    if isinstance(value, Tensor) and id(value) not in known:
        if is_sharded(value):
            full = value.detach().full_tensor()  # type: ignore[attr-defined]
            known[id(value)] = full.cpu() if keep else None
        elif keep:
            known[id(value)] = value.detach().to('cpu', copy=True) if copy else value.detach()
    if isinstance(value, Tensor):
        return known.get(id(value))
    if isinstance(value, Mapping):
        return {key: whole(item, keep, copy, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(whole(item, keep, copy, known) for item in value)
    return value


def shard_like(value: Tensor, own: Tensor) -> Tensor:
    """Cut a whole tensor, which each rank has, as ``own`` is cut; where that is not sharded return it as it is."""
    if not is_sharded(own) or is_sharded(value):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements, src_data_rank=None)  # type: ignore[attr-defined]


def cut(value: Any, is_first: bool) -> Parts:
    """Take apart a nested value with sharded tensors, without any exchange; what of it is this rank's is copied.

    Args:
        value: As for ``whole``; tensors are cut by rows, as ``fully_shard`` does.
        is_first: Whether this is rank 0.

    Returns:
        Frame and parts.
    """
    parts = Parts(None, {}, {})
    return parts._replace(frame=_cut(value, '', is_first, parts, {}))


def _cut(value: Any, name: str, is_first: bool, parts: Parts, known: dict[int, dict]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _cut(item, f'{name}.{key}' if name else str(key), is_first, parts, known)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(_cut(item, f'{name}.{number}', is_first, parts, known) for number, item in enumerate(value))
    if not isinstance(value, Tensor):
        return value
    if id(value) not in known:  # shared weights have several names
        known[id(value)] = {PLACE: name, 'shape': list(value.shape)}
        own = local_part(value.detach())
        if is_first or (is_sharded(value) and own.numel()):
            parts.tensors[name], parts.offsets[name] = own.to('cpu', copy=True), _first_row(value)
    return known[id(value)]


def _first_row(value: Tensor) -> int:
    """Return the row of a tensor that this rank's part begins with: each rank has as many, the last ones fewer."""
    if not is_sharded(value):
        return 0
    mesh = value.device_mesh  # type: ignore[attr-defined]
    return -(-value.shape[0] // mesh.size()) * mesh.get_local_rank()


def join(frame: Any, ranks: Iterable[Parts]) -> Any:
    """Put together what ``cut`` took apart, given the parts of all ranks; rows that miss are an error."""
    found: dict[str, list[tuple[int, Tensor]]] = {}
    for parts in ranks:
        for name, tensor in parts.tensors.items():
            found.setdefault(name, []).append((parts.offsets[name], tensor))
    return _join(frame, found, {})


def _join(frame: Any, found: dict[str, list[tuple[int, Tensor]]], known: dict[str, Tensor]) -> Any:
    if isinstance(frame, dict) and PLACE in frame:
        name, shape = frame[PLACE], frame['shape']
        if name not in known:
            pieces = [tensor for _, tensor in sorted(found.get(name, ()), key=lambda piece: piece[0])]
            known[name] = torch.cat(pieces) if len(pieces) > 1 else pieces[0] if pieces else torch.empty(shape)
            if list(known[name].shape) != shape:
                raise OmniVLRuntimeError(f'{name} has the shape {list(known[name].shape)} there, it was {shape}')
        return known[name]
    if isinstance(frame, dict):
        return {key: _join(item, found, known) for key, item in frame.items()}
    if isinstance(frame, list | tuple):
        return type(frame)(_join(item, found, known) for item in frame)
    return frame
