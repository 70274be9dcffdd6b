"""Pictures and clips as ``data:`` addresses, so that a report is one file."""

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.transforms import LoadImage
from omnivl.datasets.transforms.decoders import build_decoder
from omnivl.errors import OmniVLFileNotFoundError
from omnivl.structures.modality import VIDEO, modality_of_path

MOST_BYTES = 100_000  # of a clip that is put into the page; those of the corpora have a tenth


class Picture(NamedTuple):
    """What a page shows of a visual.

    Attributes:
        alt: What can be seen, for those who cannot see it.
        reason: Why there is nothing to show; empty if there is.
        source: A ``data:`` address.
        width: In pixels.
        height: In pixels.
        kind: ``'picture'``, ``'clip'`` that plays, or ``'strip'`` of frames where a browser could not play it.
        poster: The first frame of a clip, as a ``data:`` address.
    """

    alt: str
    reason: str = ''
    source: str = ''
    width: int = 0
    height: int = 0
    kind: str = 'picture'
    poster: str = ''


class MediaReader:
    """Makes small JPEGs of images, and of videos clips that play, or strips of a few frames.

    Args:
        root: Folder that relative paths are looked up in when they are not found from the current one.
        size: Longest side of a picture or frame, in pixels.
        num_frames: Frames of a strip, the first and the last of the clip among them.
    """

    def __init__(self, root: Path, size: int = 112, num_frames: int = 4) -> None:
        self.root = root
        self.size = size
        self.num_frames = num_frames
        self.decoder = build_decoder('auto')
        self.show = lru_cache(maxsize=None)(self._show)

    def _show(self, path: str, alt: str = '', clip: tuple[float, float] | None = None) -> Picture:
        """Make a picture of a visual, or tell why it cannot be read.

        Args:
            path: File of an image or a video.
            alt: What can be seen, for those who cannot see it.
            clip: The part of a video to show, start and end in seconds; ``None`` = all.

        Returns:
            What a page shows.
        """
        try:
            frames = self.frames(path, clip)
        except (OSError, BrokenVisualError) as error:
            return Picture(alt, reason=str(error))
        if len(frames) > 1 and clip is None and (source := self._playable(path)):
            height, width = frames[0].shape[:2]
            return Picture(alt, '', source, width, height, 'clip', encode_jpeg(frames[0]))
        strip = np.concatenate(_with_gaps(frames), axis=1)
        height, width = strip.shape[:2]
        return Picture(alt, '', encode_jpeg(strip), width, height, 'strip' if len(frames) > 1 else 'picture')

    def frames(self, path: str, clip: tuple[float, float] | None = None) -> list[np.ndarray]:
        """Read a visual.

        Args:
            path: File of an image or a video.
            clip: The part of a video to show, start and end in seconds; ``None`` = all.

        Returns:
            One frame of an image, ``num_frames`` of a video; uint8 (H, W, 3), RGB.

        Raises:
            OmniVLFileNotFoundError: The file is not there.
            BrokenVisualError: It cannot be decoded.
        """
        file = self._find(path)
        if modality_of_path(str(file)) == VIDEO.name:
            with self.decoder.open(str(file)) as video:
                first, count = video.window(clip)
                frames = video.frames(first + np.linspace(0, count - 1, self.num_frames).round().astype(np.int64))
        else:
            frames = LoadImage().transform({'visual': str(file)})['frames']
        return [self._shrink(frame) for frame in frames]

    def _find(self, path: str) -> Path:
        file = next((place for place in (Path(path), self.root / path) if place.exists()), None)
        if file is None:
            raise OmniVLFileNotFoundError(f'{path} is neither there nor under {self.root}')
        return file

    def _playable(self, path: str) -> str:
        """Return a video as a ``data:`` address if every browser plays it and it is small, otherwise nothing."""
        file = self._find(path)
        if file.suffix != '.mp4' or file.stat().st_size > MOST_BYTES:
            return ''
        content = file.read_bytes()
        is_h264 = b'avc1' in content
        return 'data:video/mp4;base64,' + base64.b64encode(content).decode() if is_h264 else ''

    def _shrink(self, frame: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(frame)
        picture.thumbnail((self.size, self.size), Image.Resampling.LANCZOS)
        return np.asarray(picture)


def encode_jpeg(image: np.ndarray) -> str:
    """Encode a picture.

    Args:
        image: uint8 (H, W, 3), RGB.

    Returns:
        A ``data:`` address.
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', quality=88, subsampling=0)
    return 'data:image/jpeg;base64,' + base64.b64encode(buffer.getvalue()).decode()


def _with_gaps(frames: list[np.ndarray], gap: int = 3) -> list[np.ndarray]:
    """Put a few white columns between the frames (H, W, 3) of a strip."""
    space = np.full((frames[0].shape[0], gap, 3), 255, np.uint8)
    pieces = [frames[0]]
    for frame in frames[1:]:
        pieces += [space, frame]
    return pieces
