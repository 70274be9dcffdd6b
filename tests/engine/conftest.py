"""Toy runs for the tests of the engine."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnivl.engine import OmniVLRunner

numbers = itertools.count()


@pytest.fixture
def make_runner(tmp_path: Path) -> Callable[..., OmniVLRunner]:
    """A function that builds a toy runner in a folder below ``tmp_path``."""
    import toys

    def make(folder: str = 'run', **changes: Any) -> OmniVLRunner:
        # MMEngine keeps loggers and message hubs by name, for ever.
        return OmniVLRunner.from_cfg(toys.toy_config(tmp_path / folder, f'{folder}-{next(numbers)}', **changes))

    return make
