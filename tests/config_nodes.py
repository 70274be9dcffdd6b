"""What tests change in configs: the dicts of one, wherever they are."""

from collections.abc import Iterator
from typing import Any


def dicts(value: Any) -> Iterator[dict]:
    """Every dict in a config."""
    if isinstance(value, dict):
        yield value
        for item in list(value.values()):
            yield from dicts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from dicts(item)
