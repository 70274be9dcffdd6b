"""Nested values as plain ones, the only kind that a checkpoint holds."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnivl.errors import OmniVLTypeError

from .tensor_shards import local_part


def to_plain(value: object, name: str = 'checkpoint') -> Any:
    """Copy a nested value into what ``torch.load(weights_only=True)`` reads: plain Python values and CPU tensors.

    Dicts become plain, numpy arrays tensors, and tensors come to the CPU without more storage than they need. Anything
    else is an error, as its pickle would hold code; ``name`` is what the value is called in it.
    """
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        # A view would drag the whole storage it looks at into the file.
        return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {to_plain(key, name): to_plain(item, f'{name}.{key}') for key, item in value.items()}
    if isinstance(value, tuple) and not hasattr(value, '_fields'):
        return tuple(to_plain(item, f'{name}[{i}]') for i, item in enumerate(value))
    if isinstance(value, list | tuple):
        return [to_plain(item, f'{name}[{i}]') for i, item in enumerate(value)]
    raise OmniVLTypeError(
        f'{name} is a {type(value).__module__}.{type(value).__qualname__}, and a checkpoint holds plain values and '
        'tensors only: turn it into numbers, strings, lists, dicts or tensors before it is saved'
    )


def not_finite_keys(value: object, name: str = '') -> list[str]:
    """List the tensors of a nested value with numbers that are not finite, by their keys, such as ``'a.b'``.

    Zeros and -inf together are a mask, which is meant so. Of sharded tensors only the part of this rank is looked at.
    """
    if isinstance(value, Tensor):
        value = local_part(value)
        if not value.is_floating_point() or value.isfinite().all():
            return []
        zeros = value == 0
        return [] if zeros.any() and (zeros | value.isneginf()).all() else [name]
    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    return [found for key, item in items for found in not_finite_keys(item, f'{name}.{key}' if name else str(key))]
