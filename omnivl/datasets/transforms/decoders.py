"""Video decoders: one small interface over PyAV, torchcodec, decord and OpenCV, which all return the same frames.

What differs beside that (measured with PyAV 18.1, torchcodec 0.17, decord 0.6.0, OpenCV 5.0; times for 8 frames out of
ten seconds of H.264 at 340 x 256, and out of a minute at 640 x 360, on one core, as multiples of PyAV's):

==============  =======================================================================================================
``pyav``        Seeks to the key frame before each frame asked for: the one to take for clips inside long files.
                Needs PyAV 15, the first that tells the rotation.
``torchcodec``  Seeks likewise. Needs FFmpeg's shared libraries, without which its import is a RuntimeError. 1 and 1.
``decord``      Reads on from the first frame: its own seeking (``get_batch``, ``skip_frames``) returns neighbours of
                the frames asked for with open GOPs (x265's default) and edit lists (``ffmpeg -ss ... -c copy``).
                A thread of its own reads ahead, so damage behind the frames asked for is an error now and then only.
                Refuses MPEG-TS, where it loses the first GOP. No AV1. Not maintained any more; decord2 is a fork that
                is imported by the same name. 2 and 3.5.
``opencv``      Reads the file twice, to count its frames and to fetch them, and takes damage inside the file for its
                end. Always installed. No AV1. 1.7 and 3.4.
==============  =======================================================================================================

A decoder is chosen by name, or ``'auto'`` takes the first of ``AUTO_ORDER`` that is installed and turns to the next for
files that it cannot open. A project adds its own by deriving from ``VideoDecoder`` and registering it in
``VIDEO_DECODERS``.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from mmengine.logging import print_log

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLImportError, OmniVLIndexError, OmniVLValueError
from omnivl.registry import VIDEO_DECODERS

from .containers import missing_part
from .limits import VIDEO_PIXELS, VIDEO_SIDE, Limits

# In the order in which 'auto' takes them; torchcodec has a module of its own for what needs FFmpeg's libraries.
MODULES = {'pyav': 'av', 'torchcodec': 'torchcodec.decoders', 'decord': 'decord', 'opencv': 'cv2'}
AUTO_ORDER = tuple(MODULES)
NEEDS = {'torchcodec': " and FFmpeg's shared libraries (Debian's ffmpeg)"}
LIMITS = Limits(VIDEO_PIXELS, VIDEO_SIDE, 'LoadVideo')


class reported_as_broken(AbstractContextManager):  # noqa: N801  (reads as the function it stands for)
    """Turn whatever a decoding library raises into the one error that the broken-file policy knows.

    It is no generator with ``@contextmanager``: that lets a StopIteration, which decord raises at the end of a damaged
    file, through as it is, and a loop over a loader would end there as if all were read.

    Args:
        path: The file.
        what: What could not be done with it.
    """

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        self.what = what

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The libraries raise OSError, ValueError, SyntaxError, RuntimeError and their own kinds on bad bytes.
        if isinstance(error, Exception) and not isinstance(error, BrokenVisualError):
            # decord appends a stack trace to its messages.
            detail = str(error).strip().split('\n')[0] or type(error).__name__
            raise BrokenVisualError(self.path, f'{self.what}: {detail}') from error


class VideoReader(ABC):
    """An open video; frames are counted in the order of display.

    Args:
        path: The file, for messages.
        times: When each frame is shown, in seconds; float64 (num_frames,), sorted.
        fps: Frames per second, the average over the file.

    Attributes:
        num_frames: Number of frames that are displayed, exactly.
        times: The same with the first frame at 0.
        short_side: Frames with a longer shorter side are scaled down to it, in pixels; None keeps their size.
    """

    short_side: int | None = None

    def __init__(self, path: str, times: np.ndarray, fps: float) -> None:
        if len(times) == 0:
            raise BrokenVisualError(path, 'it has no video frames')
        self.path = path
        self.times = np.asarray(times, dtype=np.float64) - times[0]
        self.fps = fps

    @property
    def num_frames(self) -> int:
        return len(self.times)

    def window(self, clip: tuple[float, float] | None) -> tuple[int, int]:
        """Return first index and number (at least 1) of the frames shown in a span of time; None = the whole video.

        It is told in seconds from the first frame, its end excluded; one that starts after the video is an error.
        """
        if clip is None:
            return 0, self.num_frames
        start, end = clip
        if end < start or start < 0:
            raise BrokenVisualError(self.path, f'clip {start} s to {end} s is no span of time')
        frame_time = 1 / self.fps if self.fps > 0 else 0.0
        if start >= self.times[-1] + max(frame_time, 1e-3):
            raise BrokenVisualError(
                self.path, f'clip {start} s to {end} s lies outside the video of {self.times[-1] + frame_time:.2f} s'
            )
        # Timestamps are rounded to the time base of the container (1 ms in Matroska).
        first, last = np.searchsorted(self.times, np.array([start, end]) - 5e-4)
        first = min(int(first), self.num_frames - 1)
        return first, max(int(last) - first, 1)

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """Decode frames: RGB, uint8 (T, H, W, 3), rotated as displayed.

        ``indices``, int64 (T,) in [0, num_frames), may be in any order and repeat; a frame that cannot be decoded is a
        BrokenVisualError.
        """
        distinct, inverse = np.unique(indices, return_inverse=True)
        if distinct[0] < 0 or distinct[-1] >= self.num_frames:
            raise OmniVLIndexError(f'{self.path} has frames 0 to {self.num_frames - 1}, asked for {indices}')
        with reported_as_broken(self.path, f'frames {distinct[0]} to {distinct[-1]} cannot be decoded'):
            frames = np.stack([reduced(frame, self.short_side) for frame in self._read(distinct)])
        return frames if len(distinct) == len(indices) and (np.diff(indices) > 0).all() else frames[inverse]

    @abstractmethod
    def _read(self, indices: np.ndarray) -> Iterable[np.ndarray]:
        """Decode frames of distinct, rising indices; one uint8 (H, W, 3) each, best one after the other."""

    @abstractmethod
    def close(self) -> None:
        """Free the file; the reader cannot be used after it."""

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


class VideoDecoder(ABC):
    """Open videos. A decoder holds no open file, so it travels to the workers of a data loader."""

    def open(self, path: str, short_side: int | None = None, limits: Limits = LIMITS) -> VideoReader:
        """Open a video, for a short time: readers are closed after each sample.

        Frames whose shorter side is longer than ``short_side``, in pixels, are scaled down to it one by one; None keeps
        their size. A file that is missing, empty, cut short, over the limits or no video of a container and codec
        that are listed is a BrokenVisualError.
        """
        with reported_as_broken(path, f'{type(self).__name__} cannot open it'):
            reason = missing_part(path)
            if reason is not None:
                raise BrokenVisualError(path, reason)
            reader = self._open(path, limits)
        reader.short_side = short_side
        return reader

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def _open(self, path: str, limits: Limits) -> VideoReader:
        """Open a file that exists; may raise anything. What FFmpeg is to see goes through ``open_checked`` before."""


def reduced(frame: np.ndarray, short_side: int | None) -> np.ndarray:
    """Scale a frame (H, W, 3) down so that its shorter side is ``short_side`` pixels, if it is longer.

    Every decoder's frames go through here: scalers of their own differ by several grey levels where there is detail.
    """
    shorter = min(frame.shape[:2])
    if short_side is None or shorter <= short_side:
        return frame
    height, width = (round(side * short_side / shorter) for side in frame.shape[:2])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    names = []
    for name in AUTO_ORDER:
        # decord and torchcodec raise RuntimeError or OSError where a system library is missing.
        with suppress(Exception):
            importlib.import_module(MODULES[name])
            names.append(name)
    if not names:
        raise OmniVLImportError(f'none of the video decoders {AUTO_ORDER} can be imported; install one: pip install av')
    print_log(f'videos are decoded by {" then ".join(names)}', logger='current')
    return tuple(names)


@VIDEO_DECODERS.register_module('auto')
class AutoDecoder(VideoDecoder):
    """The first installed decoder of ``AUTO_ORDER``; a file that it cannot open goes to the next (AV1, MPEG-TS)."""

    def __init__(self) -> None:
        self.decoders: list[VideoDecoder] = [VIDEO_DECODERS.build({'type': name}) for name in _installed()]

    def _open(self, path: str, limits: Limits) -> VideoReader:
        for decoder in self.decoders[:-1]:
            # Whatever is wrong with the file, the last decoder says it.
            with suppress(Exception):
                return decoder._open(path, limits)
        return self.decoders[-1]._open(path, limits)


def build_decoder(decoder: str | dict[str, Any] | VideoDecoder) -> VideoDecoder:
    """Build a decoder from ``'auto'``, a registered name or a config dict, or take one."""
    if isinstance(decoder, VideoDecoder):
        return decoder
    config = {'type': decoder} if isinstance(decoder, str) else dict(decoder)
    kind = config['type']
    if isinstance(kind, str):
        if VIDEO_DECODERS.get(kind) is None:
            known = sorted(VIDEO_DECODERS.module_dict)
            raise OmniVLValueError(f"there is no video decoder {kind!r}; LoadVideo's decoder is one of {known}")
        if kind in MODULES:
            try:
                importlib.import_module(MODULES[kind])
            except Exception as error:
                reason = next(iter(str(error).strip().splitlines()), '')
                library = MODULES[kind].partition('.')[0]
                raise OmniVLImportError(
                    f'video decoder {kind!r} cannot be imported ({reason}); install {library!r}{NEEDS.get(kind, "")} '
                    "or set LoadVideo's decoder to 'auto'"
                ) from error
    return VIDEO_DECODERS.build(config)
