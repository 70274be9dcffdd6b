"""The Hugging Face hub by its own client: which files are taken, what is checked, and what each refusal means.

Files of plain values only are fetched, never code. The client's cache, its progress bars, ``HF_ENDPOINT``,
``HF_HUB_OFFLINE`` and its token are used as they are; a transfer that breaks off goes on where it was.
"""

import hashlib
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from mmengine.logging import print_log

from omnivl.errors import OmniVLConnectionError, OmniVLFileNotFoundError, OmniVLRuntimeError, OmniVLValueError
from omnivl.storage.checkpoint import BrokenCheckpointError
from omnivl.storage.hashes import read_sha256
from omnivl.storage.sums import READ_SUFFIXES, SUMS

Result = TypeVar('Result')
HUB = 'hf://'
FORM = "'hf://owner/name', with '@revision' and '/file' behind it if need be"
# What holds weights in a repository or a folder of ``save_pretrained``, or of open_clip: the first that is there, the
# safe form first. A pickle is read as plain tensors only, see ``load_checkpoint``.
WEIGHTS = ('model.safetensors', 'pytorch_model.bin', 'open_clip_model.safetensors', 'open_clip_pytorch_model.bin')
NEIGHBOURS = ('config.json', 'preprocessor_config.json', 'open_clip_config.json')  # of a single file
TAKEN = (*READ_SUFFIXES, '.pth', '.pt', '.bin', '.ckpt')  # suffixes of files that may be asked for by name
TIMEOUT = 30.0  # seconds for the list of files


class HubAddress(NamedTuple):
    """``hf://owner/name[@revision][/file]``; ``revision`` is a branch, a tag or a commit, None = the main branch."""

    repository: str
    revision: str | None
    file: str | None

    def __str__(self) -> str:
        return f'{HUB}{self.repository}' + (f'@{self.revision}' if self.revision else '')


def parse_address(text: str) -> HubAddress:
    """Read an address on the hub; one of another form is an ``OmniVLValueError``."""
    found = re.fullmatch(rf'{HUB}(\w[\w.-]*/\w[\w.-]*)(?:@([^/@]+))?(?:/(.+))?', text)
    if found is None:
        raise OmniVLValueError(f'{text} is no address on the hub: {FORM} is one')
    revision = unquote(found[2]) if found[2] else None
    return HubAddress(found[1], revision, found[3])


def fetch(text: str) -> Path:
    """Bring what an address stands for into the cache, as far as it is not there, and return the folder or the file.

    Of a repository the plain files at its top level; of a file the file, its ``config.json`` beside it. Each file is
    compared with the checksum that the hub has for it, in the cache too; a damaged one comes anew.

    It is an ``OmniVLFileNotFoundError`` if neither the hub nor the cache can give it, an ``OmniVLRuntimeError`` if the
    disk has no room or the download breaks off, and a ``BrokenCheckpointError`` if it comes damaged.
    """
    from huggingface_hub import HfApi

    address = parse_address(text)
    try:
        info = _asked(
            address,
            lambda: HfApi().model_info(
                address.repository, revision=address.revision, files_metadata=True, timeout=TIMEOUT
            ),
        )
    except OmniVLConnectionError as error:
        return _from_cache(address, str(error))
    files, commit = {file.rfilename: file for file in info.siblings or ()}, str(info.sha)
    names = _wanted(address, files)
    _announce(address, commit, {name: files[name].size or 0 for name in names})
    try:
        paths = [_fetch_file(address, commit, name, _checksum(files[name])) for name in names]
        if address.revision != commit:  # offline the cache must know which commit a branch stands for
            _asked(address, lambda: _download(address, names[0], address.revision))
    except OmniVLConnectionError as error:
        raise OmniVLRuntimeError(
            f'{address}: the download broke off ({error}). Run the command again: files that are whole are kept'
        ) from error
    return paths[-1] if address.file else paths[-1].parent


def push(folder: Path, text: str, private: bool = False, message: str = 'Upload a model of omnivl') -> str:
    """Upload the files of a folder, as one commit, into a repository that is made if need be.

    The address is ``hf://owner/name[@branch]``; ``private`` makes a new repository one for its owner only. The result
    is the address of the commit for a browser. It is an ``OmniVLFileNotFoundError`` if the hub does not let you write
    there, an ``OmniVLRuntimeError`` if the upload breaks off; the repository is as it was then.
    """
    from huggingface_hub import HfApi

    address, api = parse_address(text), HfApi()
    if address.file is not None:
        raise OmniVLValueError(f'{text} is a file on the hub: a model is pushed to a repository, {address}')
    try:
        _asked(address, lambda: api.create_repo(address.repository, private=private, exist_ok=True))
        done = _asked(
            address,
            lambda: api.upload_folder(
                repo_id=address.repository, folder_path=folder, commit_message=message, revision=address.revision
            ),
        )
    except OmniVLConnectionError as error:
        raise OmniVLRuntimeError(f'{address}: the upload broke off ({error}); run the command again') from error
    return done.commit_url


def _wanted(address: HubAddress, files: Iterable[str]) -> list[str]:
    """Choose files of a repository, that with the weights last: where it is in the cache, all are."""
    names = sorted(files)
    if address.file is not None:
        if address.file not in names:
            raise OmniVLFileNotFoundError(f'{address} has no file {address.file}; it holds {_some(names)}')
        if Path(address.file).suffix not in TAKEN:
            raise OmniVLValueError(f'{address}/{address.file} is not fetched: of the hub only {", ".join(TAKEN)} are')
        folder = address.file.rpartition('/')[0]
        beside = [f'{folder}/{name}'.lstrip('/') for name in NEIGHBOURS]
        return [*(name for name in beside if name in names and name != address.file), address.file]
    weights = next((name for name in WEIGHTS if name in names), None)
    if weights is None:
        raise OmniVLFileNotFoundError(
            f'{address} has none of {", ".join(WEIGHTS)}; it holds {_some(names)}. A file is named as {address}/FILE'
        )
    plain = [name for name in names if Path(name).suffix in (*READ_SUFFIXES, '.md') or name == SUMS]
    return [*(name for name in plain if '/' not in name and not name.endswith('.safetensors')), weights]


def _announce(address: HubAddress, commit: str, sizes: Mapping[str, int]) -> None:
    """Say what will be downloaded, from where, and where to; refuse it if the disk has no room."""
    from huggingface_hub import constants, try_to_load_from_cache

    cached = {name: try_to_load_from_cache(address.repository, name, revision=commit) for name in sizes}
    missing = [name for name, path in cached.items() if not isinstance(path, str)]
    if not missing:
        return
    size, cache = sum(sizes[name] for name in missing), Path(constants.HF_HUB_CACHE)
    listed = ', '.join(f'{name} ({_megabytes(sizes[name])})' for name in missing)
    print_log(f'{address} (commit {commit[:12]}): {_megabytes(size)} to download into {cache}: {listed}', 'current')
    free = shutil.disk_usage(next(folder for folder in (cache, *cache.absolute().parents) if folder.is_dir())).free
    if free < size:
        raise OmniVLRuntimeError(
            f'{address} needs {_megabytes(size)}, and {_megabytes(free)} are free in {cache}: make room, or set '
            'HF_HOME to a folder on another disk'
        )


def _fetch_file(address: HubAddress, commit: str, name: str, expected: str | None) -> Path:
    path = _asked(address, lambda: _download(address, name, commit))
    if not _is_whole(path, expected):
        print_log(f'{path} is damaged and is downloaded anew', 'current', logging.WARNING)
        path = _asked(address, lambda: _download(address, name, commit, force_download=True))
        if not _is_whole(path, expected):
            raise BrokenCheckpointError(
                f'{name} of {address} comes damaged: its checksum is not {expected}, which the hub has for it. Try '
                'again later, or with another HF_ENDPOINT'
            )
    return path


def _download(address: HubAddress, name: str, revision: str | None, **options: Any) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(address.repository, name, revision=revision, **options))


def _from_cache(address: HubAddress, reason: str) -> Path:
    """Find in the cache what the hub cannot be asked for."""
    from huggingface_hub import constants, try_to_load_from_cache

    names = WEIGHTS if address.file is None else (address.file,)
    found = [try_to_load_from_cache(address.repository, name, revision=address.revision) for name in names]
    path = next((Path(one) for one in found if isinstance(one, str)), None)
    if path is None:
        target = f'--revision {address.revision} ' if address.revision else ''
        raise OmniVLFileNotFoundError(
            f'{address} is not in the cache {constants.HF_HUB_CACHE} ({names[0]} is missing), and the hub '
            f'{constants.ENDPOINT} cannot be asked: {reason}. Where there is a network run "hf download '
            f'{address.repository} {target}--local-dir FOLDER", and give FOLDER in its place'
        )
    taken = [path] if address.file else [one for one in sorted(path.parent.iterdir()) if one.is_file()]
    for one in taken:
        if not _is_whole(one, None):
            raise BrokenCheckpointError(
                f'{one} of {address} is damaged, and the hub cannot be asked for it ({reason}): run the command again '
                'where there is a network'
            )
    print_log(f'{address} is taken from the cache: the hub cannot be asked ({reason})', 'current')
    return path if address.file else path.parent


def _is_whole(path: Path, expected: str | None) -> bool:
    """Compare a file with its checksum: that of the hub, or the one that its content is filed under in the cache.

    It is a SHA-256, or for small files git's SHA-1 of a blob. A file without one (a cache without links) is not known.
    """
    expected = expected or path.resolve().name
    if re.fullmatch('[0-9a-f]{64}', expected):
        return read_sha256(path) == expected
    if re.fullmatch('[0-9a-f]{40}', expected):
        data = path.read_bytes()
        return hashlib.sha1(b'blob %d\0' % len(data) + data, usedforsecurity=False).hexdigest() == expected
    return True


def _checksum(file: Any) -> str | None:
    """Return the checksum that the hub has for a file."""
    return file.blob_id if file.lfs is None else file.lfs['sha256']


def _asked(address: HubAddress, ask: Callable[[], Result]) -> Result:
    """Ask the hub; what it refuses is an error that says what to do, what nobody answers an OmniVLConnectionError."""
    from huggingface_hub.utils import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    token = 'log in with "hf auth login", or set HF_TOKEN'
    try:
        return ask()
    except GatedRepoError as error:  # a RepositoryNotFoundError too
        advice = f'accept its terms on the page of {address.repository}, then {token}'
        raise OmniVLFileNotFoundError(f'{address} is gated, its owner decides who may have it: {advice}') from error
    except RepositoryNotFoundError as error:
        advice = f'check owner and name; if it is private, {token}'
        raise OmniVLFileNotFoundError(f'the hub has no {HUB}{address.repository} for you: {advice}') from error
    except RevisionNotFoundError as error:
        raise OmniVLFileNotFoundError(
            f'{HUB}{address.repository} has no revision {address.revision!r}: give a branch, a tag or a commit of it'
        ) from error
    except HFValidationError as error:
        raise OmniVLValueError(f'{address} is no address on the hub ({error}): {FORM} is one') from error
    except HfHubHTTPError as error:
        status = getattr(error.response, 'status_code', None)
        if status in (401, 403):
            raise OmniVLFileNotFoundError(f'the hub does not let you do this with {address}: {token}') from error
        raise OmniVLConnectionError(f'it answers with the error {status}') from error
    except Exception as error:  # those of the client, and of whatever carries its requests in this version of it
        said = str(error).strip().splitlines() or ['no reason given']
        raise OmniVLConnectionError(f'{type(error).__name__}: {said[0][:200]}') from error


def _some(names: list[str]) -> str:
    return ', '.join(names[:20]) + (' ...' if len(names) > 20 else '') if names else 'nothing'


def _megabytes(size: int) -> str:
    return f'{size / 1e6:.3g} MB' if size >= 1e5 else f'{size / 1e3:.3g} kB'
