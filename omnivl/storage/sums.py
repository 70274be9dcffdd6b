"""``SHA256SUMS`` of a folder, as ``sha256sum`` writes and checks it: what it holds is what was written."""

import re
from collections.abc import Mapping
from pathlib import Path

from .checkpoint import BrokenCheckpointError
from .files import write_text
from .hashes import read_sha256

SUMS = 'SHA256SUMS'
# What models, configs and vocabularies are read from; notes (README.md) and pictures may lie beside them.
READ_SUFFIXES = ('.json', '.txt', '.model', '.safetensors')
REMEDY = 'copy the folder anew, or export the model again'


def write_sums(folder: Path, known: Mapping[str, str]) -> None:
    """List the SHA-256 of every file of a folder; ``known`` ones are not read again."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    lines = [f'{known.get(name) or read_sha256(folder / name)}  {name}\n' for name in names if name[0] != '.']
    write_text(folder / SUMS, ''.join(lines))


def check_sums(folder: Path) -> bool:
    """Compare every file of a folder with its list; False if the folder has none.

    A file that is missing, has changed, or would be read and is not on the list is a BrokenCheckpointError.
    """
    if not (folder / SUMS).is_file():
        return False
    found = re.findall(r'([0-9a-f]{64})  ([^/\n]+)\n', text := (folder / SUMS).read_text('utf-8', 'replace'))
    if ''.join(f'{sha256}  {name}\n' for sha256, name in found) != text:
        raise BrokenCheckpointError(f'{folder / SUMS} is damaged; {REMEDY}')
    listed = {name: sha256 for sha256, name in found}
    for name, sha256 in listed.items():
        if not (folder / name).is_file():
            raise BrokenCheckpointError(f'{folder / name} is missing, which {SUMS} lists; {REMEDY}')
        if read_sha256(folder / name) != sha256:
            raise BrokenCheckpointError(f'{folder / name} is damaged or was changed: {SUMS} has another one; {REMEDY}')
    for path in sorted(folder.iterdir()):
        if path.suffix in READ_SUFFIXES and path.name not in listed and path.is_file():
            raise BrokenCheckpointError(f'{path} is not listed in {SUMS}: take it away, or export the model again')
    return True
