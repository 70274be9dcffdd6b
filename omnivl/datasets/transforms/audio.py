"""From a path to a waveform: sounds that are samples themselves, and what is heard beside the frames of a video."""

import math
from typing import Any

import numpy as np

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLValueError
from omnivl.registry import TRANSFORMS

from .base import PROVIDERS, require
from .chatter import heard
from .decoders import reported_as_broken
from .remote import VisualLoader, check_remote, fetched
from .sounds import SoundFile, open_sound

PROVIDERS['waveform'] = 'LoadAudio or LoadSoundtrack'
UNREADABLE = 'its sound cannot be read'
NO_STREAM, SILENT = 'it has no audio stream', 'it has no sound but silence'
SILENCE = 1e-4  # amplitudes below it are
CHECKED_AT_ONCE = 60.0  # seconds


class SoundLoader(VisualLoader):
    """Base of what loads sound.

    Args:
        seconds: Length of the waveform; a longer sound is cropped, a shorter one padded. None = as long as it is.
        rate: Samples per second.
        random: Draw the place of the crop (training) instead of the middle (evaluation).
        max_seconds: The longest sound that is decoded; a longer one is a broken file. A crop counts, not its file.
        remote: Whether annotations may name URLs, see ``remote.py``; or their limits, ``dict(max_bytes=, timeout=)``.
    """

    def __init__(
        self,
        seconds: float | None = None,
        rate: int = 16000,
        random: bool = False,
        max_seconds: float = 600.0,
        remote: bool | dict[str, Any] = False,
    ) -> None:
        owner = type(self).__name__
        if not isinstance(rate, int) or rate < 1:
            raise OmniVLValueError(f'{owner}: rate must be a positive int, samples per second, got {rate!r}')
        for option, value in (('seconds', seconds), ('max_seconds', max_seconds)):
            if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise OmniVLValueError(f'{owner}: {option} must be a positive number of seconds, got {value!r}')
        if seconds is not None and seconds > max_seconds:
            raise OmniVLValueError(f'{owner}: seconds={seconds} is more than max_seconds={max_seconds}')
        self.seconds = seconds
        self.rate = rate
        self.random = random
        self.max_seconds = max_seconds
        self.remote = check_remote(remote, owner)

    def _read(self, sound: SoundFile, start: float, end: float, rng: np.random.Generator | None) -> np.ndarray:
        """Decode a span, cropped or padded to ``seconds``: float32 (N,), NaN where there is no sound."""
        if self.seconds is not None and end - start > self.seconds:
            start += (0.5 if rng is None else rng.random()) * (end - start - self.seconds)
            end = start + self.seconds
        if end - start > self.max_seconds:
            raise BrokenVisualError(
                sound.path,
                f'its sound is {end - start:.1f} s long, more than max_seconds={self.max_seconds} of '
                f'{type(self).__name__}; seconds=... takes a part of it',
            )
        waveform = sound.segment(start, end, self.rate)
        return waveform if self.seconds is None else self._silent(waveform)

    def check_sound(self, path: str, clip: tuple[float, float] | None) -> None:
        """Decode all of a sound that is in a clip (None = all); raise BrokenVisualError if it is broken or no sound."""
        with heard(path), reported_as_broken(path, UNREADABLE):
            opened = open_sound(path)
            if opened is None:
                raise BrokenVisualError(path, NO_STREAM)
            with opened as sound:
                low, high = clip or (-math.inf, math.inf)
                start, end = max(low, sound.start), min(high, sound.start + sound.seconds)
                loudest = 0.0
                while start < end:
                    part = sound.segment(start, min(start + CHECKED_AT_ONCE, end), self.rate)
                    loudest = max(loudest, float(np.abs(np.nan_to_num(part)).max(initial=0.0)))
                    start += CHECKED_AT_ONCE
            if loudest < SILENCE:
                raise BrokenVisualError(path, SILENT)

    def _silent(self, waveform: np.ndarray | None = None) -> np.ndarray:
        """Make a waveform of ``seconds`` that begins with the one given; the rest is no sound."""
        count = round((self.seconds or 0.0) * self.rate)
        filled = np.full(count, np.nan, np.float32)
        if waveform is not None:
            filled[: len(waveform)] = waveform[:count]
        return filled


@TRANSFORMS.register_module()
class LoadAudio(SoundLoader):
    """Load a sound that is a sample by itself: a WAV, FLAC, MP3, AAC, Ogg, or the audio stream of a video.

    Required keys: ``visual``; ``rng`` if ``random``. Optional keys: ``clip`` (start and end in seconds, or None). Added
    keys: ``waveform``, float32 (N,) in [-1, 1], the mean of all channels, NaN where there is no sound.

    Args:
        seconds: See SoundLoader.
        rate: See SoundLoader.
        random: See SoundLoader.
        max_seconds: See SoundLoader.
        remote: See SoundLoader.
    """

    @fetched
    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``waveform``; raise BrokenVisualError if the file is missing, broken or has no sound."""
        require(results, self, ('visual', 'rng') if self.random else ('visual',))
        path = str(results['visual'])
        with heard(path), reported_as_broken(path, UNREADABLE):
            opened = open_sound(path)
            if opened is None:
                raise BrokenVisualError(path, NO_STREAM)
            with opened as sound:
                start, end = self._span(sound, results.get('clip'))
                results['waveform'] = self._read(sound, start, end, results['rng'] if self.random else None)
                if np.isnan(results['waveform']).all():
                    raise BrokenVisualError(path, f'there is no sound from {start:.2f} s to {end:.2f} s')
        return results

    @staticmethod
    def _span(sound: SoundFile, clip: tuple[float, float] | None) -> tuple[float, float]:
        end = sound.start + sound.seconds
        if clip is None:
            return sound.start, end
        if clip[1] <= clip[0] or clip[0] < 0:
            raise BrokenVisualError(sound.path, f'clip {clip[0]} s to {clip[1]} s is no span of time')
        if clip[0] >= end:
            raise BrokenVisualError(
                sound.path, f'clip {clip[0]} s to {clip[1]} s lies outside the sound of {end:.2f} s'
            )
        return clip[0], min(clip[1], end)


@TRANSFORMS.register_module()
class LoadSoundtrack(SoundLoader):
    """Load what is heard while the frames that LoadVideo chose are seen; ``PackSample(beside=['audio'])`` packs it.

    The span is that of the frames: from half a step before the first to half a step behind the last, within ``clip``.
    One frame stands in the middle of ``seconds``. A video without an audio stream, and frames that never were a file,
    get a waveform without sound, which the mask of the batch tells; a broken one is a broken file.

    Required keys: ``visual``; ``rng`` if ``random``. Optional keys: ``pts_seconds`` and ``num_views``, of LoadVideo;
    ``clip``. Added keys: ``waveform``, float32 (N,) in [-1, 1], the mean of all channels, NaN where there is no sound.

    Args:
        seconds: See SoundLoader; give it, so that all waveforms are of one length.
        rate: See SoundLoader.
        random: See SoundLoader.
        max_seconds: See SoundLoader.
        remote: See SoundLoader; the file is fetched once more than for the frames.
    """

    @fetched
    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``waveform``; raise BrokenVisualError if the sound is broken."""
        require(results, self, ('visual', 'rng') if self.random else ('visual',))
        path, times = str(results['visual']), results.get('pts_seconds')
        results['waveform'] = self._silent()
        if times is None:
            return results
        with heard(path), reported_as_broken(path, UNREADABLE):
            opened = open_sound(path)
            if opened is not None:
                with opened as sound:
                    start, end = self._span(np.asarray(times, np.float64), results)
                    results['waveform'] = self._read(sound, start, end, results['rng'] if self.random else None)
        return results

    def _span(self, times: np.ndarray, results: dict[str, Any]) -> tuple[float, float]:
        """Return start and end, in seconds, of what frames at these times show; the views of a clip are one."""
        first, last = float(times.min()), float(times.max())
        count = len(np.unique(times))
        half = (last - first) / (count - 1) / 2 if count > 1 else (self.seconds or 0.0) / 2
        low, high = results.get('clip') or (0.0, math.inf)
        start, end = max(first - half, low), min(last + half, high)
        return start, max(end, start)
