"""What the transforms share: they show their arguments, and a missing key says who should have put it there."""

import inspect
from collections.abc import Sequence
from typing import Any

from mmcv.transforms import BaseTransform

from omnivl.errors import OmniVLKeyError, OmniVLValueError

PROVIDERS = {'frames': 'LoadImage or LoadVideo', 'text_ids': 'TokenizeText', 'caption_ids': 'TokenizeText'}


class Transform(BaseTransform):
    """Base of the transforms, which keep each argument under its own name."""

    def __repr__(self) -> str:
        arguments = (f'{name}={getattr(self, name)!r}' for name in inspect.signature(type(self)).parameters)
        return f'{type(self).__name__}({", ".join(arguments)})'


def require(results: dict[str, Any], transform: object, keys: Sequence[str]) -> None:
    """Check that the keys a transform reads are there; the error says which transform needs it and who provides it."""
    for key in keys:
        if key not in results:
            raise OmniVLKeyError(
                f'{type(transform).__name__} needs {key!r}, which {PROVIDERS.get(key, "the dataset")} provides; '
                f'the results hold {sorted(results)}. Check the order of the pipeline in the config.'
            )


def as_size(size: int | Sequence[int], transform: str) -> tuple[int, int]:
    """Return (height, width) in pixels of a size argument, the side of a square or such a pair."""
    pair = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) else ()
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise OmniVLValueError(f'{transform}: size must be a positive int or (height, width) in pixels, got {size!r}')
    return pair


def as_share(value: float, name: str, transform: str) -> float:
    """Return an argument that must lie in [0, 1]; ``name`` and ``transform`` are for the message."""
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise OmniVLValueError(f'{transform}: {name} must be a number in [0, 1], got {value!r}')
    return value
