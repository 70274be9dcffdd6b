"""A gallery to search in: features, what they are of, and checksums that tell when it is out of date."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from omnivl.errors import OmniVLFileNotFoundError, OmniVLRuntimeError, OmniVLValueError
from omnivl.models.interfaces import Contrasts, HasParts, serving
from omnivl.storage.files import atomic_write, write_json
from omnivl.storage.hashes import content_sha256, file_sha256
from omnivl.structures import MODALITIES
from omnivl.weights.base import part_state

from .inputs import Visual, list_folder
from .preparation import Preparation

INDEX_FILE = 'index.json'
FEATURES_FILE = 'features.safetensors'
VERSION = 2
# What no feature depends on, and so may differ.
OTHER_PARTS = ('alignment_decoder.', 'generation_decoder.', 'text_decoder.', 'matching_head.', 'temperature')
SHOWN = 5  # names in a message
# What an index holds beside its entries; ``...`` stands for any name.
INDEX = dict(
    model=str,
    kind=str,
    features=str,
    files={...: dict(size=int, time_ns=int, sha256=str)},
    folders={...: int},
    errors=[dict(input=str, error=str)],
)


class StaleIndexError(OmniVLRuntimeError):
    """The model or the files are not those that an index was made from."""


@dataclass(repr=False)
class Gallery:
    """Features of visuals or texts.

    Attributes:
        kind: ``'visual'`` or ``'text'``.
        features: Unit vectors of the shared space; float32 (N, E).
        names: Paths, URLs, ``#0`` and so on for what was in memory, or texts; N of them.
        model: Checksum of the model and its preprocessing, see :func:`model_checksum`.
        visuals: The N visuals; empty for texts.
        files: Path -> size and time of change of each local file when it was encoded; in an index also its checksum.
        folders: Folder -> number of images, videos and sounds it had, for folders that were indexed as a whole.
        errors: ``input`` and ``error`` of what could not be used.
    """

    kind: str
    features: np.ndarray
    names: list[str]
    model: str
    visuals: list[Visual] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)
    errors: list[dict[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        first = ', '.join(map(repr, self.names[:3])) + (', ...' if len(self) > 3 else '')
        size = f'{len(self)} {self.kind}s x {self.features.shape[-1]}'
        return f'{type(self).__name__}({size}: {first}; {len(self.errors)} errors)'

    def save(self, folder: str | Path) -> None:
        """Write the gallery as an index: ``index.json`` and ``features.safetensors`` in a folder.

        A file that has changed since it was encoded is a ``StaleIndexError``.
        """
        from safetensors.numpy import save

        self.files = {path: _with_checksum(path, state) for path, state in self.files.items()}
        data = save({'features': np.ascontiguousarray(self.features)})
        with atomic_write(Path(folder) / FEATURES_FILE) as file:
            file.write(data)
        entries = [{'name': name} for name in self.names]
        for entry, visual in zip(entries, self.visuals):
            entry['modality'] = visual.modality
        content = dict(version=VERSION, kind=self.kind, model=self.model, features=hashlib.sha256(data).hexdigest())
        content |= dict(entries=entries, files=self.files, folders=self.folders, errors=self.errors)
        write_json(Path(folder) / INDEX_FILE, dict(content, sha256=content_sha256(content)))

    @classmethod
    def load(cls, folder: str | Path) -> 'Gallery':
        """Read an index; whether it is up to date is another question, see :meth:`check`.

        A folder that is no index is an ``OmniVLFileNotFoundError``; one that is damaged, or of another version of this
        format, an ``OmniVLValueError``.
        """
        if not is_index(folder):
            raise OmniVLFileNotFoundError(f'{folder} is no index: {INDEX_FILE} and {FEATURES_FILE} must be in it')
        content = _read_index(Path(folder) / INDEX_FILE)
        entries = content['entries']
        visuals = []
        if content['kind'] == 'visual':
            visuals = [
                Visual(entry['name'], entry['modality'], None if entry['name'].startswith('#') else entry['name'])
                for entry in entries
            ]
        return cls(
            features=_read_features(Path(folder) / FEATURES_FILE, content['features'], len(entries)),
            names=[entry['name'] for entry in entries],
            visuals=visuals,
            **{key: content[key] for key in ('kind', 'model', 'files', 'folders', 'errors')},
        )

    def check(self, model: str) -> None:
        """Look whether the index still holds for the model of a checksum.

        It is a ``StaleIndexError`` if the model, its preprocessing or a file has changed, or a folder has other files
        now. A file counts as unchanged if its size and time are, or else its checksum. URLs and what was in memory are
        not looked at.
        """
        self.check_model(model)
        changed = [path for path, state in self.files.items() if not _is_unchanged(path, state)]
        for folder, count in self.folders.items():
            now = list_folder(folder) if os.path.isdir(folder) else []
            if len(now) != count:
                changed.append(f'{folder} (had {count} files, now has {len(now)})')
        if changed:
            more = f' and {len(changed) - SHOWN} more' if len(changed) > SHOWN else ''
            raise StaleIndexError(
                f'files have changed since the index was made: {", ".join(changed[:SHOWN])}{more}; make it anew with '
                'build_gallery(...).save(folder)'
            )

    def check_model(self, model: str) -> None:
        """Look whether the features are those of the model of a checksum; a ``StaleIndexError`` if not."""
        if model != self.model:
            raise StaleIndexError(
                'the gallery was made with other weights, another vocabulary or another test pipeline than this model '
                'has; make it anew with build_gallery(...).save(folder)'
            )


def is_index(folder: object) -> bool:
    """Say whether a folder is an index."""
    return isinstance(folder, str | Path) and all(
        (Path(folder) / name).is_file() for name in (INDEX_FILE, FEATURES_FILE)
    )


def file_states(visuals: Iterable[Visual]) -> dict[str, dict[str, Any]]:
    """Note size and time of change of the local files among visuals."""
    paths = [visual.path for visual in visuals if visual.path is not None and '://' not in visual.path]
    return {path: _state(path) for path in paths}


def model_checksum(model: nn.Module, preparation: Preparation) -> str:
    """Return the checksum of all that features depend on, the same on every device.

    These are weights, vocabulary, pixel statistics and the pipelines of ``preparation``.
    """
    digest = hashlib.sha256()
    contrasts = serving(model, Contrasts, 'an index')
    for key, value in sorted(part_state(serving(model, HasParts, 'an index')).items()):
        if not key.startswith(OTHER_PARTS):
            digest.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    for _, statistics in sorted(cast(nn.Module, model.data_preprocessor).named_buffers()):
        digest.update(statistics.cpu().numpy().data)
    digest.update(contrasts.tokenizer.definition())
    digest.update('\n'.join(preparation.described()).encode())
    return digest.hexdigest()


def _read_index(path: Path) -> dict[str, Any]:
    """Read ``index.json``, all of whose keys are there and of their types; an ``OmniVLValueError`` if not."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise OmniVLValueError(f'{path} is damaged ({error}); make the index anew') from error
    version = content.get('version') if isinstance(content, dict) else None
    if version != VERSION:
        raise OmniVLValueError(f'{path.parent} is an index of version {version}, this is for {VERSION}; make it anew')
    if content.pop('sha256', None) != content_sha256(content):
        raise OmniVLValueError(f'{path} is damaged: its checksum is wrong; make the index anew')
    is_visual = content.get('kind') == 'visual'
    entry = dict(name=str, modality=str) if is_visual else dict(name=str)
    wrong = _misfit(content, dict(INDEX, entries=[entry]), 'index')
    if wrong is None and not is_visual and content['kind'] != 'text':
        wrong = f"index.kind is {content['kind']!r}, not 'visual' or 'text'"
    for number, one in enumerate(content['entries'] if is_visual and wrong is None else ()):
        if one['modality'] not in MODALITIES:
            wrong = wrong or f'index.entries.{number}.modality is none of {", ".join(MODALITIES)}'
    if wrong is not None:
        raise OmniVLValueError(f'{path} is damaged or not ours: {wrong}; make the index anew')
    return content


def _misfit(value: Any, shape: Any, place: str) -> str | None:
    """Name the first place of a JSON value that is not as ``shape`` has it; a key ``...`` there stands for any."""
    kind: Any = shape if isinstance(shape, type) else type(shape)
    if type(value) is not kind:
        return f'{place} is missing or no {kind.__name__}'
    if kind is list:
        shape = dict.fromkeys(range(len(value)), shape[0])
        value = dict(enumerate(value))
    elif kind is dict and ... in shape:
        shape = dict.fromkeys(value, shape[...])
    elif kind is shape:
        return None
    wrong = (_misfit(value.get(key), inner, f'{place}.{key}') for key, inner in shape.items())
    return next((place for place in wrong if place is not None), None)


def _read_features(path: Path, sha256: str, count: int) -> np.ndarray:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OmniVLValueError(f'{path} is damaged or of another index; make the index anew')
    try:
        features = load(data).get('features')
    except (SafetensorError, ValueError) as error:
        raise OmniVLValueError(f'{path} is no safetensors file ({error}); make the index anew') from error
    if features is None or features.ndim != 2 or len(features) != count or features.dtype != np.float32:
        raise OmniVLValueError(f'{path} does not hold float32 features of {count} entries; make the index anew')
    return features


def _state(path: str) -> dict[str, Any]:
    stat = os.stat(path)
    return dict(size=stat.st_size, time_ns=stat.st_mtime_ns)


def _with_checksum(path: str, state: dict[str, Any]) -> dict[str, Any]:
    """Add the checksum to the state of a file, which takes reading it."""
    if 'sha256' in state:
        return state
    if not os.path.isfile(path) or _state(path) != state:
        raise StaleIndexError(f'{path} has changed since it was encoded; make the gallery anew')
    return dict(state, sha256=file_sha256(path))


def _is_unchanged(path: str, state: dict[str, Any]) -> bool:
    try:
        stat = os.stat(path)
        if stat.st_size != state['size']:
            return False
        return stat.st_mtime_ns == state['time_ns'] or file_sha256(path) == state['sha256']
    except OSError:
        return False
