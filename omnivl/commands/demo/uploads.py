"""What a visitor of the page may hand in: one whole picture or clip of a listed kind, uploaded and not too large."""

from pathlib import Path
from typing import Any, NamedTuple

from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.transforms.containers import CONTAINERS, container_of
from omnivl.datasets.transforms.decoders import build_decoder
from omnivl.datasets.transforms.limits import IMAGE_SIDE, VIDEO_PIXELS, VIDEO_SIDE, Limits
from omnivl.datasets.transforms.loading import FORMATS, open_picture
from omnivl.errors import OmniVLValueError
from omnivl.structures import IMAGE, VIDEO

STILL = (b'ftypavif', b'ftypavis')  # pictures in a container of videos
MAX_LETTERS = 2000  # of one text
MAX_TEXTS = 200


class UploadLimits(NamedTuple):
    """Largest file that is taken.

    Attributes:
        megabytes: Size of the file; 1 MB = 10^6 bytes.
        megapixels: Height times width of a picture, or of the frames of a clip; 10^6 pixels.
        seconds: Length of a clip.
    """

    megabytes: float = 64
    megapixels: float = 64
    seconds: float = 60

    def described(self) -> str:
        """Say the limits in words."""
        return f'up to {self.megabytes:g} MB and {self.megapixels:g} megapixels, clips up to {self.seconds:g} s'


def check_upload(path: str, limits: UploadLimits) -> str:
    """Look whether a file can be used, by its bytes and not by its name.

    Args:
        path: The file.
        limits: The limits of the page; those of the loading transforms hold too.

    Returns:
        The name of its modality.

    Raises:
        OmniVLValueError: It is empty, too large, too long, broken, or neither picture nor clip; the message has the
            name of the file without its folder.
    """
    file = Path(path)
    size = file.stat().st_size
    with file.open('rb') as stream:
        head = stream.read(200)
    if not size:
        raise OmniVLValueError(f'{file.name} is empty: it has 0 bytes')
    if size > limits.megabytes * 1e6:
        raise OmniVLValueError(
            f'{file.name} is too large: it has {size / 1e6:.1f} MB, allowed are {limits.megabytes:g} MB (--max-mb)'
        )
    container = None if head[4:12] in STILL else container_of(head)
    try:
        if container in (None, 'gif'):
            _check_picture(path, limits)
            return IMAGE.name
        _check_clip(path, limits)
        return VIDEO.name
    except BrokenVisualError as error:
        raise OmniVLValueError(f'{file.name} cannot be used: {error.reason}') from error


def _check_picture(path: str, limits: UploadLimits) -> None:
    """Read the header of a picture."""
    pixels = Limits(int(limits.megapixels * 1e6), IMAGE_SIDE, 'this page (--max-megapixels)')
    try:
        open_picture(path, pixels).close()
    except BrokenVisualError:
        raise
    except Exception as error:  # PIL raises many kinds on bad bytes
        kinds = ', '.join(dict.fromkeys([*FORMATS, *CONTAINERS.values()]))
        raise BrokenVisualError(path, f'it is no picture or clip of a kind that is read here ({kinds})') from error


def _check_clip(path: str, limits: UploadLimits) -> None:
    """Read the header of a clip, and the times of its frames."""
    pixels = min(int(limits.megapixels * 1e6), VIDEO_PIXELS)
    with build_decoder('pyav').open(path, limits=Limits(pixels, VIDEO_SIDE, 'this page (--max-megapixels)')) as clip:
        seconds = float(clip.times[-1])
    if seconds > limits.seconds:
        raise BrokenVisualError(
            path, f'it is too long: {seconds:.1f} s, allowed are {limits.seconds:g} s (--max-seconds)'
        )


def is_uploaded(path: object, folder: Path) -> bool:
    """Say whether it is the path of a file that was uploaded into a folder; a URL or a link out of it is not."""
    if not isinstance(path, str) or '://' in path or '\0' in path or not path.startswith('/'):
        return False
    return Path(path).resolve().is_relative_to(folder.resolve())


def names_other_files(value: Any, folder: Path) -> bool:
    """Say whether the JSON of a request names, as a file anywhere in it, what was not uploaded into a folder.

    Gradio's clients send files as ``{"path": ..., "url": ...}``, and it would fetch, or open, what stands there.
    """
    if isinstance(value, dict):
        is_file = 'path' in value or 'url' in value
        wrong = is_file and not is_uploaded(value.get('path'), folder)
        return wrong or any(names_other_files(item, folder) for item in value.values())
    return isinstance(value, list) and any(names_other_files(item, folder) for item in value)


def one_text(text: object, name: str) -> str:
    """Return a text that a visitor typed, without spaces around it; ``name`` is what it is, for the message."""
    if not isinstance(text, str) or not text.strip():
        raise OmniVLValueError(f'the {name} is empty: type one')
    if len(text) > MAX_LETTERS:
        raise OmniVLValueError(f'the {name} has {len(text)} letters, allowed are {MAX_LETTERS}')
    return text.strip()


def listed_texts(texts: object, name: str, separators: str = '\n') -> list[str]:
    """Return texts of a list, or those that stand one a line in a text, without empty ones and without repeats.

    ``separators`` are the letters between two of them, ``name`` is what one of them is, for the message.
    """
    if isinstance(texts, str):
        for separator in separators[1:]:
            texts = texts.replace(separator, separators[0])
        texts = texts.split(separators[0])
    if not isinstance(texts, list):
        raise OmniVLValueError(f'{name}s are a list of texts, got a {type(texts).__name__}')
    found = list(dict.fromkeys(one_text(text, name) for text in texts if not isinstance(text, str) or text.strip()))
    if not found:
        raise OmniVLValueError(f'there is no {name}: type one or several')
    if len(found) > MAX_TEXTS:
        raise OmniVLValueError(f'there are {len(found)} {name}s, allowed are {MAX_TEXTS}')
    return found
