"""Shards of img2dataset and video2dataset: tar files of ``000000000.jpg``, ``.txt`` and ``.json``."""

import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from omnivl.storage.files import atomic_write
from omnivl.structures import modality_of_path

from .items import Found, OwnDataError

BESIDE = ('.txt', '.json')  # what such a shard holds beside pictures and clips
MOST_BYTES = 64 << 30  # of one unpacked shard; writers of shards make them of a few hundred megabytes
DONE = '.unpacked'


def unpack_shards(shards: Sequence[Path], target: Path, found: Found) -> Path:
    """Unpack shards, each into a folder of its name; what is there already is not unpacked again.

    Only plain files that are pictures, clips, texts or JSON are written, under the last part of their names: a member
    called ``../../x`` or ``/etc/x``, a link and a device can write nothing elsewhere.

    Args:
        shards: The tar files.
        target: Folder to unpack into.
        found: Where members that are none of these are counted.

    Returns:
        ``target``.

    Raises:
        OwnDataError: A shard is damaged, or too large.
    """
    for shard in shards:
        folder = target / shard.stem
        if not (folder / DONE).is_file():
            shutil.rmtree(folder, ignore_errors=True)  # what a killed process has begun
            folder.mkdir(parents=True)
            try:
                with tarfile.open(shard, 'r:') as tar:  # never compressed, which could hold anything
                    _unpack(tar, shard, folder, found)
            except (tarfile.TarError, EOFError) as error:
                raise OwnDataError(
                    f'{shard} is no whole tar file ({error}): download it again, or move it away'
                ) from error
            (folder / DONE).touch()
    return target


def _unpack(tar: tarfile.TarFile, shard: Path, folder: Path, found: Found) -> None:
    size = 0
    for member in tar:
        name = PurePosixPath(member.name).name
        is_wanted = modality_of_path(name) is not None or name.endswith(BESIDE)
        if member.isdir():
            continue
        if not member.isreg() or not is_wanted or name.startswith('.') or '\\' in name:
            found.leave_out(
                'members of shards that are no pictures, clips, texts or JSON', f'{shard.name}: {member.name}'
            )
            continue
        size += member.size
        if size > MOST_BYTES:
            raise OwnDataError(f'{shard} unpacks to more than {MOST_BYTES >> 30} GB: split it into smaller shards')
        source = tar.extractfile(member)
        assert source is not None, 'a plain file has content'
        with source, atomic_write(folder / name, member.size) as file:
            shutil.copyfileobj(source, file)
