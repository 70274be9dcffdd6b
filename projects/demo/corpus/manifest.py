"""What a corpus was made with, and how a finished one is recognised."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from omnivl.errors import OmniVLValueError

from .world import HARD_WORLD, WORLD, World

MANIFEST = 'manifest.json'


@dataclass(frozen=True)
class Parameters:
    """What a corpus of the demo world is made with; each kind of corpus adds its own numbers.

    Attributes:
        format: Raised whenever the same parameters give other files than before.
        folders: Top folders of the corpus, ours to remove and to fill.
        allowed: Least and greatest value of every number.
        later: What was added after corpora had been made -> the value that they have; a manifest does not tell it.
        seed: Of every draw.
        size: Height and width of pictures and clips, pixels; even, as H.264 wants it.

    Raises:
        OmniVLValueError: A number is outside what the world can give.
    """

    format: ClassVar[int]
    folders: ClassVar[tuple[str, ...]]
    allowed: ClassVar[dict[str, tuple[int, int]]]
    later: ClassVar[dict[str, int]] = {}

    seed: int = 0
    size: int = 64

    def __post_init__(self) -> None:
        for name, (least, most) in self.allowed.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise OmniVLValueError(f'{name} is {value}; the demo corpus allows {least} to {most}')
        if self.size % 2:
            raise OmniVLValueError(f'size is {self.size}; it must be even, or the clips cannot be encoded')


@dataclass(frozen=True)
class CorpusParameters(Parameters):
    """Everything that the files of a demo corpus depend on.

    Attributes:
        seed: Of every draw.
        size: Height and width of pictures and clips, pixels; even, as H.264 wants it.
        num_images: Training pictures, with captions and with labels together.
        num_videos: Training clips, likewise.
        num_eval: Scenes of each of val, test and test_unseen, for pictures as for clips; and of labelled pictures and
            clips in val and test.
        num_frames: Frames of a clip.
        fps: Frames per second of a clip.
        hard: 1 = a world with more colours, shapes and relations, of which training never shows two shapes of each
            colour.
        sound: 1 = most clips have a sound that follows what they show, and there are narrated videos.

    Raises:
        OmniVLValueError: A number is outside what the world can give.
    """

    format: ClassVar[int] = 2
    folders: ClassVar[tuple[str, ...]] = ('annotations', 'image_labels', 'images', 'narrated', 'video_labels', 'videos')
    allowed: ClassVar[dict[str, tuple[int, int]]] = {
        'seed': (0, 2**32 - 1),
        'size': (16, 1024),
        'num_images': (16, 90_000),
        'num_videos': (32, 90_000),
        'num_eval': (8, 300),  # more would leave too few scenes of the world to train on
        'num_frames': (8, 64),
        'fps': (1, 60),
        'hard': (0, 1),
        'sound': (0, 1),
    }
    later: ClassVar[dict[str, int]] = {'hard': 0, 'sound': 0}

    num_images: int = 8000
    num_videos: int = 4000
    num_eval: int = 200
    num_frames: int = 16
    fps: int = 8
    hard: int = 0
    sound: int = 0

    @property
    def world(self) -> World:
        """What there is to be combined."""
        return HARD_WORLD if self.hard else WORLD

    @property
    def seconds(self) -> int:
        """Length of a clip, rounded up to whole seconds."""
        return -(-self.num_frames // self.fps)


SMOKE_PARAMETERS = CorpusParameters(num_images=32, num_videos=32, num_eval=8)


def fingerprint(root: Path, folders: Sequence[str] = CorpusParameters.folders) -> dict[str, int | str]:
    """Count and hash all files of a corpus, the manifest and the vocabulary left out.

    Args:
        root: Folder of the corpus.
        folders: Its top folders.

    Returns:
        ``files``, ``bytes`` and ``sha256``, a hash over the sorted paths and the hash of each file.
    """
    total = hashlib.sha256()
    files = size = 0
    for path in sorted((path for folder in folders for path in (root / folder).rglob('*')), key=Path.as_posix):
        if path.is_file():
            content = path.read_bytes()
            files, size = files + 1, size + len(content)
            total.update(f'{path.relative_to(root).as_posix()} {hashlib.sha256(content).hexdigest()}\n'.encode())
    return {'files': files, 'bytes': size, 'sha256': total.hexdigest()}


def told(parameters: Parameters) -> dict[str, int]:
    """Return the parameters as a manifest tells them."""
    return {name: value for name, value in asdict(parameters).items() if parameters.later.get(name) != value}


def is_finished(root: Path, parameters: Parameters) -> bool:
    """Tell whether a whole and unchanged corpus with these parameters is there already.

    Args:
        root: Folder of the corpus.
        parameters: What it should have been made with.

    Returns:
        True where the manifest fits the parameters and the files fit the manifest.
    """
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding='utf-8'))
        found = {key: manifest[key] for key in ('format', 'parameters', 'files', 'bytes', 'sha256')}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if (found['format'], found['parameters']) != (parameters.format, told(parameters)):
        return False
    return all(found[key] == value for key, value in fingerprint(root, parameters.folders).items())


def write_manifest(root: Path, parameters: Parameters, counts: dict[str, dict[str, int]]) -> dict:
    """Write the manifest, the sign that a corpus is whole.

    Args:
        root: Folder of the corpus.
        parameters: What it was made with.
        counts: Kind of item -> split -> items.

    Returns:
        What was written.
    """
    content = fingerprint(root, parameters.folders)
    manifest = {'format': parameters.format, 'parameters': told(parameters), 'counts': counts, **content}
    temporary = root / f'{MANIFEST}.part'
    temporary.write_text(json.dumps(manifest, indent=1) + '\n', encoding='utf-8')
    os.replace(temporary, root / MANIFEST)
    return manifest
