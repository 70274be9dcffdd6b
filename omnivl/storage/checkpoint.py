"""Checkpoint files: plain values only, written whole or not at all, read without running code from them."""

import base64
import contextlib
import hashlib
import json
import logging
import os
import pickle
import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from omnivl.errors import OmniVLFileNotFoundError, OmniVLFloatingPointError, OmniVLRuntimeError, OmniVLTypeError

from .files import atomic_write, write_text
from .hashes import content_sha256, weights_sha256
from .keys import Patterns, key_list, not_allowed
from .plain import not_finite_keys, to_plain
from .tensor_shards import Parts, join, shard_like

LAST_CHECKPOINT = 'last_checkpoint'
WEIGHT_KEYS = ('state_dict', 'model', 'model_state')  # where weights lie: of MMEngine, of many, of PySlowFast
SHARDS = '.shards'  # how the name of a checkpoint ends that is a folder with a file of each rank
FRAME, PART = 'frame.pth', 'rank_{:05d}.safetensors'  # in it: all but the tensors, and what each rank has of these
META = 'omnivl'  # in the metadata of a safetensors file, what ``meta`` is in a checkpoint
CHECKSUM = 'sha256'  # of all else in a checkpoint, under this key; of the tensors in the metadata of a safetensors file


class CheckpointError(OmniVLRuntimeError):
    """A checkpoint cannot be used; the message says which file, why, and what to do."""


class BrokenCheckpointError(CheckpointError):
    """A file that is cut off or damaged, as a killed copy or a full disk leave it."""


def save_checkpoint(checkpoint: dict[str, Any], path: str | os.PathLike) -> None:
    """Write a checkpoint that is either whole or not there.

    It holds nested plain values and tensors; anything else is an error. Their checksum goes with them.
    """
    plain = {key: value for key, value in to_plain(checkpoint).items() if key != CHECKSUM}
    with atomic_write(path, _size_of(plain)) as file:
        torch.save({**plain, CHECKSUM: content_sha256(plain)}, file)


def save_weights(weights: dict[str, Tensor], path: str | os.PathLike, meta: dict[str, Any] | None = None) -> str:
    """Write a safetensors file with the checksum of what it holds, whole or not at all; return that of the file.

    ``meta`` are plain values without tensors, which :func:`load_checkpoint` gives back. Weights that are not finite are
    an ``OmniVLFloatingPointError``.
    """
    from safetensors.torch import save

    if keys := not_finite_keys(weights):
        raise OmniVLFloatingPointError(
            f'{path} is not written: {len(keys)} weights are not finite ({", ".join(keys[:5])}); take another one'
        )
    contiguous = {key: value.cpu().contiguous() for key, value in weights.items()}
    texts = {} if meta is None else {META: json.dumps(to_plain(meta, 'meta'), default=_bytes_to_json)}
    data = save(contiguous, metadata={'format': 'pt', **texts, CHECKSUM: _safetensors_sha256(contiguous, texts)})
    with atomic_write(path, len(data)) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def write_last_checkpoint(directory: str | os.PathLike, path: str | os.PathLike) -> None:
    """Say which checkpoint, already written, is the last one of a work directory."""
    write_text(Path(directory) / LAST_CHECKPOINT, str(path))


def load_checkpoint(path: str | os.PathLike, verify: bool = True) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; no code in it is ever run, and what is damaged is noticed.

    It may be written by :func:`save_checkpoint`, any other file of plain tensors that ``torch.save`` wrote, or a
    ``.safetensors`` file, which comes as ``dict(state_dict=..., meta=...)``; of a folder of shards the tensors come
    whole. What it holds is compared with its checksum; a file without one, which others wrote, with those of the zip
    format. Other people's safetensors files and pickles of old have neither. A file that is cut off or damaged is a
    BrokenCheckpointError, one that is no checkpoint or holds code a CheckpointError.

    Args:
        path: The file.
        verify: Whether checksums are compared; False where that of the whole file has been.

    Returns:
        What the file holds, without its checksum.
    """
    path = Path(path)
    if path.suffix == SHARDS and path.is_dir():
        return _load_shards(path, verify)
    if not path.is_file():
        raise OmniVLFileNotFoundError(missing_message(path))
    if path.suffix == '.safetensors':
        return _load_safetensors(path, verify)
    is_zip = _check_content(path)
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal_message(path, error)) from None
    except Exception as error:
        raise BrokenCheckpointError(f'{path} cannot be read, it is damaged: {_first_line(error)}') from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'{path} holds a {type(checkpoint).__name__}, a checkpoint is a dict of tensors')
    expected = checkpoint.pop(CHECKSUM, None)
    if expected is None:
        if verify and is_zip and (damaged := _first_damaged(path)):
            raise BrokenCheckpointError(_damage_message(path, damaged))
    elif verify and expected != content_sha256(checkpoint):
        raise BrokenCheckpointError(_damage_message(path))
    return checkpoint


def find_checkpoints(directory: str | os.PathLike) -> list[Path]:
    """List the checkpoints of a work directory that a run may go on from, that of the highest number first.

    They are called ``iter_<n>`` and ``epoch_<n>``, with ``.pth`` or ``.shards``. ``last_checkpoint`` is a hint, which
    may be wrong or missing: its kind of names comes first where there are several, and where the folder has no
    checkpoint, those beside the one it names are listed (``out_dir`` of the hook), but never those of another work
    directory, that this is a copy of.
    """
    directory = Path(directory)
    hint = _hinted(directory)
    kind = '' if hint is None else number_in(hint)[0]
    found = _numbered(directory, kind)
    with contextlib.suppress(OSError):  # a hint may be anything
        if not found and hint is not None and not (hint.parent / LAST_CHECKPOINT).exists():
            found = _numbered(hint.parent, kind)

    def rank(path: Path) -> tuple[bool, bool, int]:
        own, number = number_in(path)
        return own == kind, own == 'iter_', number

    return sorted(found, key=rank, reverse=True)


def load_last_checkpoint(
    directory: str | os.PathLike, others: Collection[Path] = ()
) -> tuple[Path | None, dict[str, Any] | None, list[str]]:
    """Read the last whole checkpoint of a work directory; that there are some and none is whole is an error.

    Those of ``others`` are not looked at. Returns its path, its content, and why each more recent one was passed over,
    which a warning says, too; ``(None, None, [])`` if there is none.
    """
    problems: list[str] = []
    for path in find_checkpoints(directory):
        if path in others:
            continue
        try:
            content = load_checkpoint(path)
            check_finite(content, path)
        except (OSError, RuntimeError) as error:  # ours among them: one that is refused is no reason to begin anew
            problems.append(_first_line(error))
            print_log(f'{problems[-1]}; falling back to the checkpoint before it', 'current', logging.WARNING)
        else:
            return path, content, problems
    if problems:
        raise BrokenCheckpointError(
            f'none of the checkpoints in {directory} is whole; move them away to start anew:\n' + '\n'.join(problems)
        )
    return None, None, []


def check_finite(content: dict[str, Any], path: str | os.PathLike) -> None:
    """Refuse a checkpoint with weights, or a state of the optimizer, that are not finite: no run can go on from it."""
    keys = not_finite_keys({key: content[key] for key in ('state_dict', 'optimizer') if key in content})
    if keys:
        raise CheckpointError(
            f'{path} is damaged: {len(keys)} tensors are not finite ({", ".join(keys[:5])}); take an earlier checkpoint'
        )


def number_in(path: Path) -> tuple[str, int]:
    """Split the name of a checkpoint: ``'iter_20.pth'`` is ``('iter_', 20)``; of other files the kind is ``''``."""
    parts = re.fullmatch(r'(\D+)(\d+)\.(pth|shards)', path.name)
    return ('', -1) if parts is None else (parts[1], int(parts[2]))


def _hinted(directory: Path) -> Path | None:
    try:
        text = (directory / LAST_CHECKPOINT).read_text(encoding='utf-8').strip()
    except (OSError, UnicodeDecodeError):
        return None
    return None if not text or '\0' in text else Path(text)


def _numbered(directory: Path, kind: str) -> list[Path]:
    found = [*directory.glob('*.pth'), *directory.glob(f'*{SHARDS}')]
    return [path for path in found if number_in(path)[0] in {'iter_', 'epoch_', kind} - {''}]


def _size_of(plain: object) -> int:
    """Return about how many bytes a nested value takes: those of its tensors."""
    if isinstance(plain, Tensor):
        return plain.nbytes
    items = plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list | tuple) else ()
    return sum(map(_size_of, items))


@dataclass
class LoadOptions:
    """Which differences between a checkpoint and a model are wanted.

    Each option is ``True`` (any), ``False`` (none) or a list of patterns of keys as in ``fnmatch``
    (``'visual_encoder.blocks.*.temporal_*'``).

    Attributes:
        allow_missing: Keys of the model that the checkpoint need not have; they keep their initial values.
        allow_unexpected: Keys of the checkpoint that the model need not have; they are not used.
        skip_shapes: Keys whose shape may differ; they keep their initial values.
        allow_differences: Facts that decide what a model answers and may differ: ``'vocabulary'``, ``'norm_eps'`` ...
            (see ``omnivl/weights/facts.py``).
    """

    allow_missing: Patterns = False
    allow_unexpected: Patterns = False
    skip_shapes: Patterns = False
    allow_differences: Patterns = False


@dataclass
class LoadReport:
    """Keys that were not loaded, all of them allowed by the options."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def load_state_dict(
    model: nn.Module, state_dict: dict[str, Tensor], source: str, options: LoadOptions | None = None
) -> LoadReport:
    """Load weights into a model and return the keys that were not loaded, or say what does not fit and change nothing.

    A leading ``'module.'`` of a distributed wrapper is dropped from the names; ``source`` is the name of the file, for
    the messages; ``options`` are the differences that are allowed, none by default.
    """
    options = options or LoadOptions()
    weights = {key.removeprefix('module.'): value for key, value in state_dict.items()}
    own = model.state_dict(keep_vars=True)
    stored = {id(own[key]): value for key, value in weights.items() if key in own}
    # Exported files hold shared weights once, under the first of their names.
    weights |= {key: stored[id(value)] for key, value in own.items() if key not in weights and id(value) in stored}
    missing = [key for key in own if key not in weights]
    unexpected = [key for key in weights if key not in own]
    wrong = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    problems = [
        key_list('missing in the checkpoint', not_allowed(missing, options.allow_missing)),
        key_list('unknown to the model', not_allowed(unexpected, options.allow_unexpected)),
        key_list(
            'of another shape',
            [
                f'{key} (checkpoint {tuple(weights[key].shape)}, model {tuple(own[key].shape)})'
                for key in not_allowed(wrong, options.skip_shapes)
            ],
        ),
    ]
    if any(problems):
        raise CheckpointError(
            f'{source} does not fit the model ({len(own)} keys), nothing was loaded:\n'
            + '\n'.join(problem for problem in problems if problem)
            + '\nUse the config that wrote the checkpoint, or allow the differences with load_options=dict('
            'allow_missing=[...], allow_unexpected=[...], skip_shapes=[...]) in the config (patterns of keys, or True).'
        )
    usable = {key: shard_like(value, own[key]) for key, value in weights.items() if key in own and key not in wrong}
    model.load_state_dict(usable, strict=False)
    return LoadReport(missing, unexpected, wrong)


def weights_of(checkpoint: dict[str, Any], source: str) -> dict[str, Tensor]:
    """Find the weights, name -> tensor, in what :func:`load_checkpoint` returned for the file ``source``."""
    for candidate in (*(checkpoint.get(key) for key in WEIGHT_KEYS), checkpoint):
        if isinstance(candidate, dict) and candidate and all(isinstance(v, Tensor) for v in candidate.values()):
            return candidate
    raise CheckpointError(
        f'{source} holds no weights: neither {", ".join(WEIGHT_KEYS)} nor the file itself is a dict of tensors, '
        f'its keys are {sorted(map(str, checkpoint))[:20]}'
    )


def _load_shards(folder: Path, verify: bool) -> dict[str, Any]:
    frame = load_checkpoint(folder / FRAME, verify)
    files = [load_checkpoint(folder / PART.format(rank), verify) for rank in range(frame.pop('ranks'))]
    parts = [Parts(None, file['state_dict'], file['meta']['offsets']) for file in files]
    try:
        return join(frame, parts)
    except OmniVLRuntimeError as error:
        raise BrokenCheckpointError(f'{folder} is not whole: {error}') from None


def _load_safetensors(path: Path, verify: bool) -> dict[str, Any]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        texts = {key: metadata[key] for key in (META,) if key in metadata}
        meta = json.loads(texts.get(META, '{}'), object_hook=_bytes_from_json)
    except Exception as error:  # its own errors, and whatever torch says of a shape or a type that cannot be
        raise BrokenCheckpointError(
            f'{path} cannot be read, it is cut off or no safetensors file: {_first_line(error)}'
        ) from error
    if verify and CHECKSUM in metadata and metadata[CHECKSUM] != _safetensors_sha256(weights, texts):
        raise BrokenCheckpointError(_damage_message(path))
    return dict(state_dict=weights, meta=meta)


def _safetensors_sha256(weights: dict[str, Tensor], texts: dict[str, str]) -> str:
    """Return the checksum of tensors and of what is said of them; without the latter that of files of before."""
    return content_sha256([dict(sorted(weights.items())), texts]) if texts else weights_sha256(weights)


def _bytes_to_json(value: object) -> dict[str, str]:
    """Write bytes, such as those of a vocabulary, for JSON, which has none."""
    if not isinstance(value, bytes):
        raise OmniVLTypeError(f'meta of weights holds plain values, got a {type(value).__name__}')
    return dict(base64=base64.b64encode(value).decode())


def _bytes_from_json(value: dict[str, Any]) -> Any:
    return base64.b64decode(value['base64'], validate=True) if set(value) == {'base64'} else value


def _check_content(path: Path) -> bool:
    """Refuse what is no checkpoint, or one whose frame is damaged; whether it is a zip file."""
    with open(path, 'rb') as file:
        start = file.read(4)
    if not start:
        raise BrokenCheckpointError(f'{path} is empty')
    is_zip = zipfile.is_zipfile(path)
    if start.startswith(b'PK') and not is_zip:
        raise BrokenCheckpointError(f'{path} is cut off: its table of contents, at the end, is missing')
    # A bit of the pickle that has changed may ask for anything, which is damage then and no attack.
    if is_zip and (damaged := _first_damaged(path, tensors=False)):
        raise BrokenCheckpointError(_damage_message(path, damaged))
    if not is_zip and not start.startswith(b'\x80'):  # neither a zip file nor a pickle
        raise CheckpointError(
            f'{path} is not a checkpoint: it is neither written by torch.save nor a .safetensors file'
        )
    return is_zip


def _first_damaged(path: Path, tensors: bool = True) -> str | None:
    """Find the first member of a zip file whose checksum is wrong, those with the tensors' values among them or not."""
    name = 'its table of contents'
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if tensors or '/data/' not in name:
                    with archive.open(name) as member:
                        while member.read(1 << 20):
                            pass
    except Exception as error:  # zipfile's own, and those of the decoders that damaged fields ask for
        return f'{name} ({_first_line(error)})'
    return None


def _damage_message(path: Path, place: str = 'its content') -> str:
    return f'{path} is damaged: the checksum of {place} is wrong; copy the file anew or take another checkpoint'


def missing_message(path: Path) -> str:
    """Say that a checkpoint is not there, and what is."""
    if path.is_dir():
        return f'{path} is a folder, a checkpoint is a file; it holds {_listing(path)}'
    if path.parent.is_dir():
        return f'there is no checkpoint {path}; its folder holds {_listing(path.parent)}'
    return f'there is no checkpoint {path}, nor a folder {path.parent}'


def _listing(directory: Path) -> str:
    names = sorted(path.name for path in directory.iterdir() if path.suffix in ('.pth', '.pt', '.bin', '.safetensors'))
    return ', '.join(names[:20]) if names else 'no checkpoint'


def _refusal_message(path: Path, error: Exception) -> str:
    named = re.search(r'GLOBAL ([\w.]+)', str(error))
    # Without a name torch's own text would be left, whose advice is to read the file with its code.
    what = f'it asks for {named.group(1)!r}' if named else 'it holds what tensors and plain values do not need'
    return (
        f'{path} is refused: {what}, and a pickle that names classes or functions can run any code when it is read. '
        'Checkpoints of omnivl hold tensors and plain values only. If you trust the file, save its weights anew: '
        "torch.save(dict(state_dict=model.state_dict()), 'new.pth')."
    )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
