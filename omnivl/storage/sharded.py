"""Saving a checkpoint in parts: each rank writes a file of its own, and the folder appears when all are there."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

from omnivl.errors import OmniVLRuntimeError

from .checkpoint import FRAME, PART, save_checkpoint, save_weights
from .files import TEMPORARY_SUFFIX
from .tensor_shards import Parts

PATIENCE = 1800.0  # seconds that the first rank waits for the files of the others


def temporary_folder(path: Path, token: str) -> Path:
    """Return where the parts of a checkpoint are written before it is whole; ``token`` is one that all ranks know."""
    return path.with_name(f'.{path.name}.{token}{TEMPORARY_SUFFIX}')


def save_part(parts: Parts, folder: Path, rank: int) -> None:
    """Write what this rank has, whole or not at all, as a safetensors file."""
    save_weights(parts.tensors, folder / PART.format(rank), dict(offsets=parts.offsets))


def finish_parts(content: dict[str, Any], folder: Path, path: Path, ranks: int) -> None:
    """Wait for the files of all ranks, add what is not a tensor, and give the folder its name; the first rank does.

    No messages are exchanged, so it may run in a thread beside the training.

    Args:
        content: The checkpoint, with frames in the place of tensors.
        folder: See ``temporary_folder``.
        path: What it is called when it is whole; a checkpoint of that name gives way.
        ranks: Number of processes.

    Raises:
        OmniVLRuntimeError: A file does not come.
    """
    files = [folder / PART.format(rank) for rank in range(ranks)]
    limit = time.monotonic() + PATIENCE
    while missing := [file.name for file in files if not file.is_file()]:
        if time.monotonic() > limit:
            raise OmniVLRuntimeError(
                f'{path} is not written: {", ".join(missing[:5])} did not come into {folder} within {PATIENCE:g} s; '
                'all ranks must write to one file system (default_hooks.checkpoint.out_dir)'
            )
        time.sleep(0.02)
    save_checkpoint(dict(content, ranks=ranks), folder / FRAME)
    old = folder.with_name(f'{folder.stem}.old{TEMPORARY_SUFFIX}')
    if path.exists():  # a folder that is not empty cannot be replaced
        path.rename(old)
    os.replace(folder, path)
    shutil.rmtree(old, ignore_errors=True)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint, a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
