"""From a path to frames: images with PIL or OpenCV, videos with a decoder from ``VIDEO_DECODERS``."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps
from torch.utils.data import get_worker_info

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLValueError
from omnivl.registry import TRANSFORMS

from .base import require
from .chatter import heard
from .decoders import VideoDecoder, build_decoder, reported_as_broken
from .limits import IMAGE_PIXELS, IMAGE_SIDE, VIDEO_PIXELS, VIDEO_SIDE, Limits
from .remote import VisualLoader, check_remote, fetched
from .sampling import clip_indices

WHITE = (255, 255, 255, 255)
# Formats that pictures may have inside, whatever their name ends in. PIL knows more, and for EPS it starts Ghostscript.
LIMITS = Limits(IMAGE_PIXELS, IMAGE_SIDE, 'LoadImage')
FORMATS = ('JPEG', 'PNG', 'GIF', 'WEBP', 'BMP', 'TIFF', 'PPM', 'AVIF')


def keep_opencv_single_threaded() -> None:
    """Turn OpenCV's thread pool off inside a worker: the workers are the parallelism, and a forked pool may hang.

    MMEngine's Runner does it too (``env_cfg.mp_cfg.opencv_num_threads``), but only in its own process, which spawned
    workers do not inherit. The main process keeps what the user has set.
    """
    if get_worker_info() is not None and cv2.getNumThreads() > 1:
        cv2.setNumThreads(0)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Turn a picture of any usual mode into 8-bit RGB (H, W, 3), over white where it is transparent.

    It is turned as its EXIF orientation says; of an animation it is the frame it stands on (the first after opening).
    A mode without an agreed range (32-bit float) is an error.
    """
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else it would be copied for nothing
        image = ImageOps.exif_transpose(image)
    if image.mode == 'F':
        raise OmniVLValueError('its pixels are 32-bit floats, whose range is not known; convert the file to 8 bit')
    if image.mode.startswith('I'):  # 16 bit; PIL's own conversion would clip at 255
        grey = np.asarray(image).astype(np.float64) / 257
        return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, WHITE), image)
    return np.array(image if image.mode == 'RGB' else image.convert('RGB'))


def open_picture(path: str, limits: Limits = LIMITS, content: bytes | None = None) -> Image.Image:
    """Open a picture of one of ``FORMATS``, as far as this PIL has them; nothing else is tried.

    Its bytes are those of the file, or ``content``. One over the limits is a ``BrokenVisualError``; its pixels are
    decoded later.
    """
    Image.init()
    # PIL has a limit of its own, for the whole process, which warns and refuses before ours could.
    own, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        file = path if content is None else io.BytesIO(content)
        image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
    finally:
        Image.MAX_IMAGE_PIXELS = own
    try:
        limits.check(path, image.height, image.width)
    except BrokenVisualError:
        image.close()
        raise
    return image


def jpeg_is_whole(data: bytes) -> bool:
    """Look for the end-of-image marker behind the start of the scan, where FF D9 can be nothing else.

    A thumbnail inside the EXIF segment has such a marker too, so the segments before the scan are walked by length.
    """
    position = 2
    while position + 4 <= len(data):
        if data[position + 1] == 0xDA:  # start of scan
            return data.find(b'\xff\xd9', position) >= 0
        # FF may be repeated before a marker (ITU T.81, B.1.1.2)
        padding = data[position + 1] == 0xFF
        position += 1 if padding else 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
    return False


@TRANSFORMS.register_module()
class LoadImage(VisualLoader):
    """Load an image as a clip of one frame.

    Required keys: ``visual``. Added keys: ``frames``.

    Args:
        backend: ``'pillow'``, or ``'cv2'``, which decodes JPEG with OpenCV and leaves all other formats to PIL, so that
            transparency and bit depth are treated alike.
        short_side: JPEGs are decoded at 1/2, 1/4 or 1/8 as long as both sides stay at least this long, in pixels:
            faster for large photographs; None decodes in full. Only for ``'pillow'``.
        max_pixels: Height times width of the largest image that is decoded; a larger one is a broken file.
        max_side: Its longer side, in pixels.
        remote: Whether annotations may name URLs, see ``remote.py``; or their limits, ``dict(max_bytes=, timeout=)``.
    """

    takes_content = True

    def __init__(
        self,
        backend: str = 'pillow',
        short_side: int | None = None,
        max_pixels: int = IMAGE_PIXELS,
        max_side: int = IMAGE_SIDE,
        remote: bool | dict[str, Any] = False,
    ) -> None:
        if backend not in ('pillow', 'cv2'):
            raise OmniVLValueError(f"LoadImage: backend must be 'pillow' or 'cv2', got {backend!r}")
        if short_side is not None and (short_side < 1 or backend == 'cv2'):
            raise OmniVLValueError(
                f"LoadImage: short_side must be positive and needs backend='pillow', got {short_side} and {backend!r}"
            )
        self.backend = backend
        self.short_side = short_side
        self.max_pixels = max_pixels
        self.max_side = max_side
        self.limits = Limits.of(max_pixels, max_side, 'LoadImage')
        self.remote = check_remote(remote, 'LoadImage')

    @fetched
    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``frames``, uint8 (1, H, W, 3) RGB; raise BrokenVisualError if the file is missing or broken."""
        require(results, self, ('visual',))
        keep_opencv_single_threaded()
        path, content = str(results['visual']), results.pop('content', None)
        if content is None and not Path(path).is_file():
            raise BrokenVisualError(path, 'there is no such file')
        with heard(path), reported_as_broken(path, 'it cannot be read as an image'):
            results['frames'] = self._load(path, content)[None]
        return results

    def _load(self, path: str, content: bytes | None) -> np.ndarray:
        with open_picture(path, self.limits, content) as image:
            if self.backend == 'cv2' and image.format == 'JPEG':
                return self._load_jpeg(path, Path(path).read_bytes() if content is None else content)
            if self.short_side is not None:
                image.draft(None, (self.short_side, self.short_side))
            return to_rgb(image)

    @staticmethod
    def _load_jpeg(path: str, data: bytes) -> np.ndarray:
        # OpenCV fills the missing part of a cut picture with grey and only prints a warning.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if jpeg_is_whole(data) else None
        if image is None:
            raise BrokenVisualError(path, 'it cannot be read as an image: the JPEG is cut short or damaged')
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@TRANSFORMS.register_module()
class LoadVideo(VisualLoader):
    """Decode a fixed number of frames of a video, sampled sparsely: one from each of equal segments.

    Required keys: ``visual``; ``rng`` if ``random``. Optional keys: ``clip`` (start and end in seconds, or None).
    Added keys: ``frames``; ``pts_seconds``, when each of them is shown, in seconds from the first frame of the file,
    float32 (V * T,); ``num_views`` if ``num_clips`` is above 1.

    Args:
        num_frames: Number of frames, always returned exactly; short clips repeat some.
        random: Draw the place inside each segment (training) instead of its middle (evaluation).
        decoder: ``'auto'`` (the first of PyAV, torchcodec, decord and OpenCV that loads), ``'pyav'``,
            ``'torchcodec'``, ``'decord'``, ``'opencv'``, or the config of another registered decoder.
        short_side: Frames with a longer short side are scaled down to it as they come, in pixels; saves memory and time
            where crops are much smaller than the video. None keeps the size.
        num_clips: Clips of ``num_frames`` each, for testing with several views; every clip spans the whole video, a
            little later than the one before, and they come one after the other.
        max_pixels: Height times width of the largest frame that is decoded; a larger one is a broken file.
        max_side: Its longer side, in pixels.
        remote: Whether annotations may name URLs, see ``remote.py``; or their limits, ``dict(max_bytes=, timeout=)``.
    """

    def __init__(
        self,
        num_frames: int,
        random: bool = False,
        decoder: str | dict[str, Any] | VideoDecoder = 'auto',
        short_side: int | None = None,
        num_clips: int = 1,
        max_pixels: int = VIDEO_PIXELS,
        max_side: int = VIDEO_SIDE,
        remote: bool | dict[str, Any] = False,
    ) -> None:
        if not isinstance(num_frames, int) or num_frames < 1:
            raise OmniVLValueError(f'LoadVideo: num_frames must be a positive int, got {num_frames!r}')
        if short_side is not None and (not isinstance(short_side, int) or short_side < 1):
            raise OmniVLValueError(
                f'LoadVideo: short_side must be a positive int in pixels or None, got {short_side!r}'
            )
        if not isinstance(num_clips, int) or num_clips < 1 or (random and num_clips > 1):
            raise OmniVLValueError(
                'LoadVideo: num_clips must be a positive int, and 1 for training (random=True), which sees one view; '
                f'got {num_clips!r}'
            )
        self.num_frames = num_frames
        self.random = random
        self.decoder = build_decoder(decoder)
        self.short_side = short_side
        self.num_clips = num_clips
        self.max_pixels = max_pixels
        self.max_side = max_side
        self.limits = Limits.of(max_pixels, max_side, 'LoadVideo')
        self.remote = check_remote(remote, 'LoadVideo')

    @fetched
    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``frames``, uint8 (V * T, H, W, 3) RGB; raise BrokenVisualError if the file is missing or broken."""
        require(results, self, ('visual', 'rng') if self.random else ('visual',))
        keep_opencv_single_threaded()
        path = str(results['visual'])
        with heard(path), self.decoder.open(path, self.short_side, self.limits) as video:
            first, available = video.window(results.get('clip'))
            rng = results['rng'] if self.random else None
            indices = clip_indices(available, self.num_frames, self.num_clips, rng)
            results['frames'] = video.frames(first + indices)
            results['pts_seconds'] = video.times[first + indices].astype(np.float32)
        if self.num_clips > 1:
            results['num_views'] = self.num_clips
        return results
