"""The video decoders; see ``decoders.py`` for what they share and how they differ."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from omnivl.datasets.errors import BrokenVisualError
from omnivl.registry import VIDEO_DECODERS

from .containers import is_transport_stream, open_checked
from .decoders import VideoDecoder, VideoReader
from .limits import Limits


@VIDEO_DECODERS.register_module('decord')
class DecordDecoder(VideoDecoder):
    """decord. One thread per reader: the parallel work is that of the data loader's workers."""

    def _open(self, path: str, limits: Limits) -> VideoReader:
        with open(path, 'rb') as stream:
            head = stream.read(197)
        if is_transport_stream(head):
            raise BrokenVisualError(path, "decord loses frames of MPEG-TS; set LoadVideo's decoder to 'pyav'")
        open_checked(path, limits).close()
        return _DecordReader(path)


class _DecordReader(VideoReader):
    _video: Any  # of decord, which has no types; None while there is none

    def __init__(self, path: str) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._file = path
        self._rewind()
        stamps = self._video.get_frame_timestamp(np.arange(len(self._video)))[:, 0].astype(np.float64)
        fps = float(self._video.get_avg_fps())
        if np.abs(stamps).max() > 1e9:  # MPEG-PS has frames without a timestamp, which stand at about -1e14 s
            stamps = np.arange(len(stamps)) / fps
        # Frames that an edit list cuts off the start are listed before 0, and never delivered.
        super().__init__(path, stamps[stamps > -0.5 / max(fps, 1.0)], fps)

    def _rewind(self) -> None:
        import decord

        self._video = None  # closed before the next is opened: the memory of two readers is never held
        self._video = decord.VideoReader(self._file, num_threads=1)
        self._position = 0

    def _read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        if indices[0] < self._position:
            self._rewind()
        for index in indices:
            while self._position <= index:
                frame = self._video.next()
                self._position += 1
            yield _unpadded(frame.asnumpy())

    def close(self) -> None:
        self._video = None


def _unpadded(frame: np.ndarray) -> np.ndarray:
    """Undo a slip of decord, which counts the padding at the end of narrow rows as channels."""
    height, width, channels = frame.shape
    return frame if channels == 3 else frame.reshape(height, -1)[:, : width * 3].reshape(height, width, 3)


@VIDEO_DECODERS.register_module('pyav')
class PyAVDecoder(VideoDecoder):
    """PyAV (FFmpeg). Demuxes the file once for the exact list of frames, then seeks to what is wanted."""

    def _open(self, path: str, limits: Limits) -> VideoReader:
        return _PyAVReader(path, open_checked(path, limits))


class _PyAVReader(VideoReader):
    def __init__(self, path: str, container: Any) -> None:
        import av

        self._container = container
        self._format = container.format.name.split(',')[0]
        try:
            self._stream = self._container.streams.video[0]
            self._time_base = float(self._stream.time_base or 0)  # seconds per unit of the stamps
            self._stamps, self._keys = _index(path, container, self._stream)
            super().__init__(path, self._stamps * self._time_base, float(self._stream.average_rate or 0))
        except BaseException:
            self._container.close()
            raise
        # One for all frames: frame.to_ndarray() sets a converter up for each, which takes longer than converting.
        self._reformatter = av.video.reformatter.VideoReformatter()
        # Since PyAV 17 it starts a pool of threads, one per core, unless told not to.
        self._threads = {'threads': 1} if int(av.__version__.split('.')[0]) >= 17 else {}
        self._decoded: Iterator[Any] = iter(())
        self._position: int | None = None
        self._reopen()  # the index was read to the end of the file; also the cheapest way back to its start

    def _reopen(self) -> None:
        import av

        self._container.close()
        self._container = av.open(self.path, format=self._format)
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1

    def _read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        return (self._frame_at(int(self._stamps[index])) for index in indices)

    def _frame_at(self, stamp: int) -> np.ndarray:
        key = int(np.searchsorted(self._keys, stamp, side='right')) - 1
        goes_on = self._position is not None and self._position < stamp
        if goes_on and (key < 0 or self._keys[key] <= self._position):
            found = self._decode_to(stamp)
            if found is not None:
                return found
        # One key frame earlier if the demuxer landed too late (MPEG-TS), and at last from the start.
        for start in dict.fromkeys((key, key - 1, -1)):
            if start >= 0:
                self._container.seek(int(self._keys[start]), stream=self._stream)
            else:
                self._reopen()
            self._decoded = self._container.decode(self._stream)
            found = self._decode_to(stamp)
            if found is not None:
                return found
        raise BrokenVisualError(self.path, f'frame at {stamp * self._time_base:.3f} s is missing')

    def _decode_to(self, stamp: int) -> np.ndarray | None:
        for frame in self._decoded:
            self._position = frame.pts
            if frame.pts == stamp:
                return self._to_array(frame)
            if frame.pts is None or frame.pts > stamp:
                break
        return None

    def _to_array(self, frame: Any) -> np.ndarray:
        array = self._reformatter.reformat(frame, format='rgb24', **self._threads).to_ndarray()
        # `rotation` is counter-clockwise, in degrees, and so is rot90.
        return np.rot90(array, round(frame.rotation / 90)) if frame.rotation else array

    def close(self) -> None:
        self._decoded = iter(())
        self._container.close()


def _index(path: str, container: Any, stream: Any) -> tuple[np.ndarray, np.ndarray]:
    """Timestamps of the frames on display and of the key frames, both sorted, in units of the time base."""
    stamps, keys = [], []
    for packet in container.demux(stream):
        if packet.size == 0:  # the end of the stream
            continue
        if packet.pts is None:
            raise BrokenVisualError(path, 'its frames carry no timestamps')
        if packet.is_keyframe:
            keys.append(packet.pts)
        if not packet.is_discard:  # an edit list may hide frames
            stamps.append(packet.pts)
    return np.unique(np.array(stamps, np.int64)), np.unique(np.array(keys, np.int64))


@VIDEO_DECODERS.register_module('torchcodec')
class TorchCodecDecoder(VideoDecoder):
    """torchcodec, which needs FFmpeg's shared libraries. It seeks as PyAV does, without Python between the frames."""

    def _open(self, path: str, limits: Limits) -> VideoReader:
        with open_checked(path, limits) as container:
            stream = container.streams.video[0]
            stamps, _ = _index(path, container, stream)
            return _TorchCodecReader(path, stamps * float(stream.time_base), float(stream.average_rate or 0))


class _TorchCodecReader(VideoReader):
    def __init__(self, path: str, times: np.ndarray, fps: float) -> None:
        from torchcodec.decoders import VideoDecoder as Video

        super().__init__(path, times, fps)
        self._video = Video(path, dimension_order='NHWC', num_ffmpeg_threads=1)

    def _read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        return (self._video.get_frame_at(int(index)).data.numpy() for index in indices)

    def close(self) -> None:
        del self._video


@VIDEO_DECODERS.register_module('opencv')
class OpenCVDecoder(VideoDecoder):
    """OpenCV's FFmpeg backend. Its frame count is a guess and its seeking inexact, so it reads from the start."""

    def _open(self, path: str, limits: Limits) -> VideoReader:
        open_checked(path, limits).close()
        return _OpenCVReader(path)


class _OpenCVReader(VideoReader):
    def __init__(self, path: str) -> None:
        import cv2

        self._file = path
        self._rewind()
        fps, moments = self._video.get(cv2.CAP_PROP_FPS), []
        while self._video.grab():
            moments.append(self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        times = np.array(moments)
        if (np.diff(times) <= 0).any():  # raw streams and MPEG-PS, whose times OpenCV does not know
            times = np.arange(len(times)) / fps
        super().__init__(path, times, fps)
        self._rewind()

    def _rewind(self) -> None:
        # Read by OpenCV when its FFmpeg part is loaded; without it every bad file prints to stderr.
        os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
        import cv2

        log_level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        try:
            self._video = cv2.VideoCapture(self._file, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        finally:
            cv2.utils.logging.setLogLevel(log_level)
        self._video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        if not self._video.isOpened():
            raise BrokenVisualError(self._file, 'it has no video stream, or its container or codec is not known')
        self._position = 0

    def _read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        import cv2

        if indices[0] < self._position:
            self._rewind()
        for index in indices:
            while self._position <= index:
                if not self._video.grab():
                    raise BrokenVisualError(self.path, f'frame {self._position} is missing')
                self._position += 1
            yield cv2.cvtColor(self._video.retrieve()[1], cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._video.release()
