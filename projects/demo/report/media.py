"""Pictures and clips as ``data:`` addresses, so that a report is one file."""

import base64
import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.webm', '.mov')


class MediaReader:
    """Makes small JPEGs of images and of a few frames of videos.

    Args:
        root: Folder that relative paths are looked up in when they are not found from the current one.
        size: Longest side of a picture or frame, in pixels.
        num_frames: Frames of a strip, the first and the last of the clip among them.
    """

    def __init__(self, root: Path, size: int = 112, num_frames: int = 4) -> None:
        self.root = root
        self.size = size
        self.num_frames = num_frames
        self.html = lru_cache(maxsize=None)(self._html)

    def _html(self, path: str, alt: str = '', clip: tuple[float, float] | None = None) -> str:
        """Show a visual.

        Args:
            path: File of an image or a video.
            alt: What can be seen, for those who cannot see it.
            clip: The part of a video to show, start and end in seconds; ``None`` = all.

        Returns:
            An ``<img>`` element; a grey box with the reason if the file cannot be read.
        """
        try:
            frames = self.frames(path, clip)
        except (OSError, ValueError) as error:
            return f'<span class="lost" title="{escape(error)}">not readable</span>'
        strip = np.concatenate(_with_gaps(frames), axis=1)
        kind = 'strip' if len(frames) > 1 else 'picture'
        height, width = strip.shape[:2]
        return (
            f'<img class="{kind}" src="{encode_jpeg(strip)}" width="{width}" height="{height}" loading="lazy" '
            f'alt="{escape(alt)}">'
        )

    def frames(self, path: str, clip: tuple[float, float] | None = None) -> list[np.ndarray]:
        """Read a visual.

        Args:
            path: File of an image or a video.
            clip: The part of a video to show, start and end in seconds; ``None`` = all.

        Returns:
            One frame of an image, ``num_frames`` of a video; uint8 (H, W, 3), RGB.

        Raises:
            FileNotFoundError: The file is not there.
            ValueError: The video has no frame that can be decoded.
        """
        file = next((place for place in (Path(path), self.root / path) if place.exists()), None)
        if file is None:
            raise FileNotFoundError(f'{path} is neither there nor under {self.root}')
        if file.suffix.lower() in VIDEO_SUFFIXES:
            frames = [Image.fromarray(frame) for frame in read_video(file, clip)]
            frames = [frames[index] for index in np.linspace(0, len(frames) - 1, self.num_frames).round().astype(int)]
        else:
            with Image.open(file) as image:
                frames = [image.convert('RGB')]
        for frame in frames:
            frame.thumbnail((self.size, self.size), Image.Resampling.LANCZOS)
        return [np.asarray(frame) for frame in frames]


def read_video(file: Path, clip: tuple[float, float] | None = None) -> list[np.ndarray]:
    """Decode a short video, or a part of it.

    Args:
        file: A video of a few seconds; it is decoded as a whole.
        clip: The part to keep, start and end in seconds; ``None`` = all.

    Returns:
        Its frames, uint8 (H, W, 3), RGB.

    Raises:
        ValueError: No frame could be decoded.
    """
    # OpenCV is there with mmcv; it is imported late so that the registry can import this package without it.
    import cv2

    capture = cv2.VideoCapture(str(file))
    rate = capture.get(cv2.CAP_PROP_FPS)
    frames = []
    try:
        while True:
            found, frame = capture.read()
            if not found:
                break
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    finally:
        capture.release()
    if clip is not None and rate > 0:
        frames = [frame for number, frame in enumerate(frames) if clip[0] <= number / rate < clip[1]]
    if not frames:
        raise ValueError(f'{file}: no frame of this video{f" in {clip}" if clip else ""} can be decoded')
    return frames


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


def escape(text: object) -> str:
    """Make text safe inside HTML and its attributes."""
    from html import escape as html_escape

    return html_escape(str(text), quote=True)


def _with_gaps(frames: list[np.ndarray], gap: int = 3) -> list[np.ndarray]:
    """Put a few white columns between the frames (H, W, 3) of a strip."""
    space = np.full((frames[0].shape[0], gap, 3), 255, np.uint8)
    pieces = [frames[0]]
    for frame in frames[1:]:
        pieces += [space, frame]
    return pieces
