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
    """Check that the keys a transform reads are there.

    Args:
        results: The dict that travels through the pipeline.
        transform: The transform that reads the keys; its class name stands in the message.
        keys: The keys it reads.

    Raises:
        OmniVLKeyError: If a key is missing; names the key, the transform and who provides the key.
    """
    for key in keys:
        if key not in results:
            raise OmniVLKeyError(
                f'{type(transform).__name__} needs {key!r}, which {PROVIDERS.get(key, "the dataset")} provides; '
                f'the results hold {sorted(results)}. Check the order of the pipeline in the config.'
            )


def as_size(size: int | Sequence[int], transform: str) -> tuple[int, int]:
    """Read a size argument.

    Args:
        size: Side of a square, or (height, width), in pixels.
        transform: Name of the transform, for the message.

    Returns:
        (height, width) in pixels.

    Raises:
        OmniVLValueError: If it is neither a positive int nor a pair of them.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) else ()
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise OmniVLValueError(f'{transform}: size must be a positive int or (height, width) in pixels, got {size!r}')
    return pair


def as_share(value: float, name: str, transform: str) -> float:
    """Read an argument that must lie in [0, 1].

    Args:
        value: The argument.
        name: Its name, for the message.
        transform: Name of the transform, for the message.

    Returns:
        The value as it came.

    Raises:
        OmniVLValueError: If it is no number in [0, 1].
    """
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise OmniVLValueError(f'{transform}: {name} must be a number in [0, 1], got {value!r}')
    return value
