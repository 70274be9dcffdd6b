"""Where the weights of other libraries lie: a file, a folder of Hugging Face's, or the hub."""

import json
from pathlib import Path
from typing import Any

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError

from .hub import WEIGHTS
from .names import find_model


def find_file(file: str) -> Path:
    """Find the file that holds the weights.

    Args:
        file: A local file, a folder that ``save_pretrained`` wrote, or what else ``find_model`` knows: only an address
            on the hub goes to the network.

    Returns:
        Path of the local file; it need not exist if ``file`` is a path.

    Raises:
        OmniVLFileNotFoundError: The folder holds no weights that we read, or the hub does not give the file.
        OmniVLValueError: It is no address on the hub.
    """
    path = find_model(file)
    if not path.is_dir():
        return path
    for name in WEIGHTS:
        if (path / name).is_file():
            return path / name
    names = sorted(entry.name for entry in path.iterdir())
    raise OmniVLFileNotFoundError(f'{path} has none of {WEIGHTS}, it holds {names[:20]}: name the file of the weights')


def read_neighbour(path: Path, name: str) -> dict[str, Any] | None:
    """Read a JSON file that lies beside the weights, such as ``config.json``; None if there is none."""
    neighbour = path.parent / name
    if not neighbour.is_file():
        return None
    try:
        content = json.loads(neighbour.read_text(encoding='utf-8'))
    except ValueError as error:
        raise OmniVLValueError(f'{neighbour} is no JSON file ({error}): repair it or take it away') from error
    return content if isinstance(content, dict) else None
