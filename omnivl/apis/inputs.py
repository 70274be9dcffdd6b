"""What may be handed to an inferencer: paths, URLs, pictures, arrays, clips, and lists or folders of these."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.transforms import LoadImage, segment_indices
from omnivl.datasets.transforms.decoders import reported_as_broken
from omnivl.datasets.transforms.loading import to_rgb
from omnivl.datasets.transforms.remote import Fetching, local_file
from omnivl.errors import OmniVLTypeError, OmniVLValueError
from omnivl.structures import FRAMES, IMAGE, MODALITIES, VIDEO, check_modality, modality_of_path

ALLOWED = (
    'a path, a URL, a PIL image, an array uint8 (H, W, 3) or (T, H, W, 3), a list of frames, '
    'or a list or folder of any of these'
)

NAMED_BY_A_PERSON = Fetching(any_scheme=True)


@dataclass(slots=True)
class Visual:
    """One image or video that has not been loaded yet.

    Attributes:
        name: Path, URL, or ``#`` and the place in the list of what is in memory.
        modality: Its name.
        path: Path or URL; None for what is in memory.
        content: A PIL image, an array, or a list of frames; None for files.
        error: Why it cannot be used, as far as that shows without loading it.
    """

    name: str
    modality: str
    path: str | None = None
    content: object = None
    error: str | None = None


def read_visuals(x: Any, modality: str | None = None) -> tuple[list[Visual], bool]:
    """Sort out what was handed in; nothing is loaded.

    A list of pictures (PIL images, arrays (H, W, 3)) is a list of images; a list inside a list is the frames of one
    clip; with ``modality='video'`` (any that has time) a list of pictures is the frames of one clip too.

    Args:
        x: One visual, or a list or a folder of visuals. Folders are searched with their subfolders, in the order of
            the names; files of other kinds are passed over.
        modality: That of all of them; None = by the suffix of files and the shape of arrays.

    Returns:
        The visuals, and whether it was one visual and not a list.

    Raises:
        OmniVLTypeError: Something is none of these.
        OmniVLValueError: The list or folder is empty, or there is no such modality.
    """
    has_time = modality is not None and MODALITIES[check_modality(modality, 'the inputs')].has_time
    if isinstance(x, list | tuple) and not (has_time and x and all(map(_is_picture, x))):
        if not x:
            raise OmniVLValueError(f'the list of inputs is empty; give {ALLOWED}')
        visuals: list[Visual] = []
        for item in x:
            for part in list_folder(item) if is_folder(item) else [item]:
                visuals.append(_as_visual(part, modality, len(visuals)))
        return visuals, False
    if is_folder(x):
        return [_as_visual(path, modality, number) for number, path in enumerate(list_folder(x))], False
    return [_as_visual(x, modality, 0)], True


def is_folder(x: object) -> bool:
    """Say whether it is the path of a folder."""
    return isinstance(x, str | Path) and os.path.isdir(x)


def list_folder(folder: str | Path) -> list[str]:
    """List the visuals in a folder and below by their paths; an ``OmniVLValueError`` if there are none."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        found += [os.path.join(parent, name) for name in files if not name.startswith('.') and modality_of_path(name)]
    if not found:
        suffixes = ' '.join(suffix for modality in MODALITIES.values() for suffix in modality.suffixes)
        raise OmniVLValueError(f'the folder {folder} has no {" or ".join(MODALITIES)}; looked for are {suffixes}')
    return sorted(found)


def is_text(x: object) -> bool:
    """Say whether a string is a text, and not the name of a visual, where both are allowed.

    A URL, a name with the suffix of an image or video, and an existing path with a separator in it (``'photos/'``)
    are visuals; ``pathlib.Path`` always is.
    """
    if not isinstance(x, str):
        return False
    is_path = (os.sep in x or '/' in x) and os.path.exists(x)
    return not (is_path or '://' in x or modality_of_path(x))


def all_texts(x: object) -> bool:
    """Say whether it is a text or a list of texts; a list with both texts and visuals is an ``OmniVLValueError``."""
    if not isinstance(x, list | tuple):
        return is_text(x)
    texts = [is_text(item) for item in x]
    if any(texts) and not all(texts):
        raise OmniVLValueError(
            f'a list is of texts or of visuals, got both: {x[texts.index(True)]!r} is taken for a text and '
            f'{x[texts.index(False)]!r} for a visual; give names of files as pathlib.Path'
        )
    return bool(texts) and all(texts)


def frames_in_memory(visual: Visual, num_frames: int) -> np.ndarray:
    """Return frames of what is in memory, sampled as ``num_frames`` of a file: uint8 (T, H, W, 3) RGB.

    Frames of several sizes, or of another type or shape, are a ``BrokenVisualError``.
    """
    content = visual.content
    if not MODALITIES[visual.modality].has_time:
        return _frame(content, visual.name)[None]
    if isinstance(content, np.ndarray) and content.ndim != 3:
        _check_array(content, 4, visual.name)
        return content[segment_indices(len(content), num_frames)]
    content = content if isinstance(content, list | tuple) else [content]
    frames = [_frame(content[index], visual.name) for index in segment_indices(len(content), num_frames)]
    sizes = sorted({frame.shape[:2] for frame in frames})
    if len(sizes) > 1:
        raise BrokenVisualError(visual.name, f'the frames of a clip must be equally large, got (H, W) {sizes}')
    return np.stack(frames)


def _as_visual(item: object, modality: str | None, number: int) -> Visual:
    name = f'#{number}'
    if isinstance(item, str | Path):
        path = str(item)
        known = modality or modality_of_path(path)
        visual = Visual(path, known or IMAGE.name, path)
        if known is None:
            visual.error = (
                f'the suffix is of no modality that is known; give modality={" or ".join(map(repr, MODALITIES))} '
                '(--modality)'
                if '://' in path or os.path.exists(path)
                else 'there is no such file'
            )
    elif isinstance(item, Image.Image):
        visual = Visual(name, modality or IMAGE.name, content=item)
    elif isinstance(item, np.ndarray):
        visual = Visual(name, modality or (VIDEO if item.ndim == 4 else IMAGE).name, content=item)
    elif isinstance(item, list | tuple):
        visual = Visual(name, modality or VIDEO.name, content=item)
        if not MODALITIES[visual.modality].has_time:
            visual.error = f'a list of frames is a {VIDEO.name}, but modality is {modality!r}'
    else:
        raise OmniVLTypeError(f'input {name} is a {type(item).__name__}; allowed is {ALLOWED}')
    if visual.path is None and MODALITIES[visual.modality].kind != FRAMES:
        visual.error = f'what is in memory is looked at; give {MODALITIES[visual.modality].plural} as files'
    is_empty = not len(item) if isinstance(item, list | tuple) else isinstance(item, np.ndarray) and not item.size
    if is_empty:
        visual.error = 'it has no frames'
    return visual


def _frame(picture: object, name: str) -> np.ndarray:
    """Turn one picture into uint8 (H, W, 3)."""
    if isinstance(picture, Image.Image):
        with reported_as_broken(name, 'it cannot be read as an image'):
            return to_rgb(picture)
    if isinstance(picture, str | Path):
        with local_file(str(picture), NAMED_BY_A_PERSON) as path:
            return LoadImage()({'visual': path})['frames'][0]
    if not isinstance(picture, np.ndarray):
        raise BrokenVisualError(
            name, f'a frame is a {type(picture).__name__}; allowed are PIL images, arrays uint8 (H, W, 3) and paths'
        )
    _check_array(picture, 3, name)
    return picture if picture.flags.writeable else picture.copy()  # torch warns of read-only memory


def _check_array(array: np.ndarray, ndim: int, name: str) -> None:
    if array.dtype != np.uint8 or array.ndim != ndim or array.shape[-1] != 3 or not array.size:
        wanted = '(H, W, 3)' if ndim == 3 else '(T, H, W, 3)'
        raise BrokenVisualError(
            name,
            f'an array must be uint8 {wanted}, RGB from 0 to 255, and not empty; got {array.dtype} {array.shape}',
        )


def _is_picture(item: object) -> bool:
    return isinstance(item, Image.Image) or (isinstance(item, np.ndarray) and item.ndim == 3)
