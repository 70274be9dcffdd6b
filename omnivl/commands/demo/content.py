"""What the page has beside the model: examples to click on, and the gallery that is searched."""

import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple

from omnivl.apis import Gallery, OmniVLInferencer, StaleIndexError
from omnivl.apis.gallery import is_index
from omnivl.apis.inputs import list_folder
from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.places import cache_root
from omnivl.structures import MODALITIES

from .media import thumbnail
from .uploads import UploadLimits, check_upload

MAX_EXAMPLES = 12


class Example(NamedTuple):
    """A picture or clip to try.

    Attributes:
        path: Where the page may use it, in the folder of the uploads.
        picture: A small JPEG of it.
        is_clip: Whether it is a clip.
    """

    path: Path
    picture: bytes
    is_clip: bool


def take_examples(folder: Path, uploads: Path, limits: UploadLimits) -> list[Example]:
    """Copy the first pictures and clips of a folder to where the page may use them.

    One that a visitor could not upload is told on the terminal and left out; a folder without any is an
    ``OmniVLValueError``.
    """
    taken: list[Example] = []
    for number, path in enumerate(list_folder(folder)[:MAX_EXAMPLES]):
        try:
            modality = check_upload(path, limits)
            picture = thumbnail(path, modality)
        except (OmniVLValueError, BrokenVisualError) as error:
            print(f'an example is left out: {error}')
            continue
        copy = uploads / 'examples' / str(number) / Path(path).name
        copy.parent.mkdir(parents=True)
        shutil.copyfile(path, copy)
        taken.append(Example(copy, picture, MODALITIES[modality].has_time))
    return taken


def open_gallery(inferencer: OmniVLInferencer, folder: Path) -> Gallery:
    """Open an index of ``omnivl index``, or encode a folder of pictures and clips and keep its index for the next time.

    Args:
        inferencer: The model.
        folder: The index, or the folder.

    Returns:
        The gallery.

    Raises:
        OmniVLFileNotFoundError: There is no such folder.
        StaleIndexError: The index is of another model, or of files that have changed.
        OmniVLValueError: There is nothing in the folder, or nothing that can be used.
    """
    if is_index(folder):
        return inferencer.load_gallery(folder)
    if not folder.is_dir():
        raise OmniVLFileNotFoundError(f'--index: there is no folder {folder}, of pictures and clips or of omnivl index')
    kept = cached_index(folder, inferencer.checksum)
    if is_index(kept):
        try:
            return inferencer.load_gallery(kept)
        except (StaleIndexError, OmniVLValueError) as error:
            print(f'{folder} is encoded again: {error}')
    gallery = inferencer.build_gallery(folder.absolute())
    for broken in gallery.errors:
        print(f'left out: {broken["input"]}: {broken["error"]}')
    gallery.save(kept)
    print(f'{len(gallery)} items of {folder} are encoded; their index is in {kept}')
    return gallery


def cached_index(folder: Path, model: str) -> Path:
    """Return where the index of a folder is kept for a model of a checksum."""
    key = hashlib.sha256(f'{folder.resolve()}\n{model}'.encode()).hexdigest()[:16]
    return cache_root() / 'index' / f'{folder.resolve().name}-{key}'
