"""Rounds of a launcher: a run that is started anew goes on from what it has saved, never from a run before it."""

import json
import os
from pathlib import Path

from omnivl.storage.checkpoint import find_checkpoints
from omnivl.storage.files import write_json

# How often a launcher has started this run anew: torchrun with --max-restarts, a requeued job of slurm.
RESTART_COUNTS = ('TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT')
OLDER_FILE = '.older.json'  # checkpoint -> time of its last change, when the first round began


def is_restarted() -> bool:
    """Whether a launcher has started this run before."""
    return any(os.environ.get(name, '0') != '0' for name in RESTART_COUNTS)


def note_older(directory: str | os.PathLike) -> None:
    """Write down which checkpoints a work directory has before a run begins; a first round does."""
    write_json(Path(directory) / OLDER_FILE, _times(directory))


def older_checkpoints(directory: str | os.PathLike) -> list[Path]:
    """List the checkpoints that were there when the first round of a run began, and have not been written anew."""
    file = Path(directory) / OLDER_FILE
    noted = json.loads(file.read_text(encoding='utf-8')) if file.is_file() else {}
    return [Path(path) for path, time in _times(directory).items() if noted.get(path) == time]


def _times(directory: str | os.PathLike) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in find_checkpoints(directory)}
