"""Reading a part of the sound of a file by PyAV: WAV, FLAC, MP3, AAC, Ogg, and the audio stream of videos.

As for videos (``containers.py``), a file's first bytes must be those of a listed container, its codec must be a listed
one, and FFmpeg is told to take it for nothing else. Time is counted from the first frame of the video, or where there
is none from the first sample, as annotations do.
"""

import struct
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from omnivl.datasets.errors import BrokenVisualError

from .containers import CONTAINERS, container_of, missing_part

SOUND_CONTAINERS = {'wav': 'WAV', 'flac': 'FLAC', 'mp3': 'MP3', 'aac': 'AAC'}  # those that videos do not come in
SOUND_CODECS = {
    *('aac', 'mp1', 'mp2', 'mp3', 'flac', 'alac', 'vorbis', 'opus', 'speex', 'ac3', 'eac3', 'dts', 'wmav1', 'wmav2'),
    *('wmapro', 'amr_nb', 'amr_wb', 'adpcm_ms', 'adpcm_ima_wav', 'adpcm_ima_qt', 'adpcm_swf', 'nellymoser'),
    *('pcm_u8', 'pcm_s16le', 'pcm_s16be', 'pcm_s24le', 'pcm_s24be', 'pcm_s32le', 'pcm_s32be', 'pcm_f32le', 'pcm_f32be'),
    *('pcm_f64le', 'pcm_f64be', 'pcm_mulaw', 'pcm_alaw'),
}
GUESSED = ('mp3', 'aac')  # whose length the container may only guess, by the size of the file
MOST_RATE, MOST_CHANNELS = 384_000, 32  # samples per second and channel
PREROLL = 1.0  # seconds before a segment that are decoded: codecs need what came before to sound right
MARGIN = 0.04  # seconds around a segment that are resampled with it; a whole number of samples at all usual rates
JUMP = 0.01  # seconds between two frames that are no rounding of their stamps (1 ms in Matroska), but a gap
LEAST_LOSS = 0.5  # seconds of a sound that may lack at its end, as encoders round


def sound_container_of(head: bytes) -> str | None:
    """Tell FFmpeg's name of the container from the first 200 bytes of a file; None for what is no listed one."""
    if head[:4] == b'RIFF' and head[8:12] == b'WAVE':
        return 'wav'
    if head.startswith(b'fLaC'):
        return 'flac'
    if head.startswith(b'ID3'):
        return 'mp3'
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:  # ADTS: 12 bits of sync, layer 0
        return 'aac'
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:  # 11 bits of sync, a layer
        return 'mp3'
    return container_of(head)


def open_sound(path: str) -> 'SoundFile | None':
    """Open the sound of a file; None if it is whole and of a listed kind, and has no sound.

    Anything else is a ``BrokenVisualError``.
    """
    if reason := missing_part(path):
        raise BrokenVisualError(path, reason)
    with open(path, 'rb') as file:
        head = file.read(200)
        size = file.seek(0, 2)
    container = sound_container_of(head)
    if container is None:
        kinds = ', '.join((*SOUND_CONTAINERS.values(), *CONTAINERS.values()))
        raise BrokenVisualError(path, f'it has no sound: its first bytes are of none of {kinds}')
    if container == 'wav' and size < (end := struct.unpack('<I', head[4:8])[0] + 8) < 0xFFFFFFFF:
        raise BrokenVisualError(path, f'the file was cut short: the WAV ends at byte {end}, the file at byte {size}')
    import av

    opened = av.open(path, format=container, options={'protocol_whitelist': 'file'}, metadata_errors='replace')
    try:
        if not opened.streams.audio:
            opened.close()
            return None
        return SoundFile(path, opened, container)
    except BaseException:
        opened.close()
        raise


class SoundFile(AbstractContextManager):
    """The first audio stream of an open file.

    Args:
        path: The file, for messages.
        container: Of PyAV.
        kind: FFmpeg's name of its kind.

    Attributes:
        rate: Samples per second.
        start: When the sound begins, in seconds from the first frame of the video; 0 where there is none.
        seconds: How long it is.
        is_guess: Whether that may be wrong.
    """

    def __init__(self, path: str, container: Any, kind: str) -> None:
        self.path = path
        self.container = container
        self.stream = container.streams.audio[0]
        context = self.stream.codec_context
        codec = None if context is None else context.codec.canonical_name
        if codec not in SOUND_CODECS:
            allowed = ', '.join(sorted(SOUND_CODECS))
            raise BrokenVisualError(path, f'the codec of its sound is {codec or "unknown"}; allowed are {allowed}')
        self.rate = int(context.sample_rate or 0)
        channels = int(context.channels or 0)
        if not 0 < self.rate <= MOST_RATE or not 0 < channels <= MOST_CHANNELS:
            raise BrokenVisualError(
                path,
                f'its sound has {channels} channels of {self.rate} Hz; allowed are {MOST_CHANNELS} of {MOST_RATE} Hz',
            )
        context.thread_count = 1
        self.time_base = float(self.stream.time_base or 0)
        begin = (self.stream.start_time or 0) * self.time_base
        videos = [video for video in container.streams.video if video.start_time is not None]
        self.origin = float(videos[0].start_time * videos[0].time_base) if videos else begin
        self.start = begin - self.origin
        self.is_guess = kind in GUESSED
        self.seconds = self._length()

    def _length(self) -> float:
        if self.stream.duration:
            return float(self.stream.duration * self.stream.time_base)
        if self.container.duration:
            # Of the longest stream, which may be another one.
            self.is_guess |= len(self.container.streams) > 1
            end = (self.container.start_time or 0) + self.container.duration
            return end / 1_000_000 - self.origin - self.start
        self.is_guess = True
        end = 0.0
        for packet in self.container.demux(self.stream):
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * self.time_base)
        self.container.seek(0)
        return end - self.origin - self.start

    def segment(self, start: float, end: float, rate: int) -> np.ndarray:
        """Decode what is heard from ``start`` to ``end``, in seconds, at so many samples per second.

        Channels are averaged. Returns float32 (round((end - start) * rate),) in [-1, 1], NaN where there is no sound.
        A sound that ends long before the file says so is a ``BrokenVisualError``.
        """
        wanted = round((end - start) * rate)
        first = round((start - MARGIN) * self.rate)
        samples = self._decoded(first, round((end + MARGIN) * self.rate) - first)
        real = ~np.isnan(samples)
        said = min(end, self.start + self.seconds)
        heard = (first + int(np.flatnonzero(real)[-1]) + 1) / self.rate if real.any() else start
        if not self.is_guess and heard < said - LEAST_LOSS:
            raise BrokenVisualError(
                self.path, f'its sound was cut short: it ends at {heard:.2f} s, and at {said:.2f} s by its container'
            )
        resampled = _resample(np.nan_to_num(samples, nan=0.0), self.rate, rate)
        skipped = round(MARGIN * rate)
        places = (np.arange(wanted) + skipped) * self.rate / rate
        places = np.clip(places.astype(np.int64), 0, max(len(real) - 1, 0))
        made = np.zeros(wanted, np.float32)
        part = resampled[skipped : skipped + wanted]
        made[: len(part)] = part
        return np.where(real[places], np.clip(made, -1.0, 1.0), np.float32(np.nan)).astype(np.float32)

    def _decoded(self, first: int, count: int) -> np.ndarray:
        """Decode ``count`` samples from number ``first`` on, counted from the origin: float32, NaN where none are."""
        samples = np.full(count, np.nan, np.float32)
        # A demuxer may land behind what it was asked for; then from the beginning.
        if not self._fill(samples, first, first / self.rate - PREROLL):
            self.container.seek(0)
            samples[:] = np.nan
            self._fill(samples, first, None)
        return samples

    def _fill(self, samples: np.ndarray, first: int, seek_to: float | None) -> bool:
        """Decode from a time on, None = from where the file stands; False if that is after what was asked for."""
        import av

        seeks = seek_to is not None and seek_to > self.start
        if seeks:
            assert seek_to is not None
            self.container.seek(int((seek_to + self.origin) / self.time_base), stream=self.stream)
        run = _Run(samples, first, JUMP * self.rate)
        place: float = self.start * self.rate  # of what comes next
        broken: Exception | None = None
        for packet in self.container.demux(self.stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError as error:
                if run.parts and place >= first:
                    raise
                broken = error  # the first packets may lean on what was not decoded
                continue
            for frame in frames:
                if frame.pts is not None:
                    place = (frame.pts * self.time_base - self.origin) * self.rate
                if seeks and place > first:
                    return False
                seeks = False
                values = _mono(frame)
                run.add(place, values)
                place += len(values)
            if place >= first + len(samples) + JUMP * self.rate:
                break
        if broken is not None and not run.parts:
            raise broken
        run.write()
        return not seeks

    def __exit__(self, *exception: object) -> None:
        self.container.close()


class _Run:
    """Frames that follow each other without a gap, laid end to end where their stamps say on the average.

    Args:
        samples: What they are written into, float32 (N,).
        first: Number of its first sample.
        jump: A stamp that is farther off than so many samples begins another run.
    """

    def __init__(self, samples: np.ndarray, first: int, jump: float) -> None:
        self.samples, self.first, self.jump = samples, first, jump
        self.parts: list[np.ndarray] = []
        self.begins: list[float] = []  # where the run begins by the stamp of each
        self.count = 0

    def add(self, place: float, values: np.ndarray) -> None:
        """Add a frame whose first sample has about this number."""
        if self.parts and abs(place - self.count - self.begins[0]) > self.jump:
            self.write()
            self.parts, self.begins, self.count = [], [], 0
        self.parts.append(values)
        self.begins.append(place - self.count)
        self.count += len(values)

    def write(self) -> None:
        """Write the run."""
        if not self.parts:
            return
        values, place = np.concatenate(self.parts), round(float(np.mean(self.begins)))
        low, high = max(place, self.first), min(place + len(values), self.first + len(self.samples))
        if low < high:
            self.samples[low - self.first : high - self.first] = values[low - place : high - place]


def _mono(frame: Any) -> np.ndarray:
    """Average the channels of a frame of PyAV: float32 (N,), integers scaled to [-1, 1]."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    mono = values.mean(axis=0, dtype=np.float64)
    if values.dtype == np.uint8:
        mono = (mono - 128.0) / 128.0
    elif values.dtype.kind == 'i':
        mono /= -float(np.iinfo(values.dtype).min)
    return mono.astype(np.float32)


def _resample(samples: np.ndarray, source: int, target: int) -> np.ndarray:
    """Change the samples per second of float32 (N,)."""
    if source == target or not len(samples):
        return samples
    import av

    frame = av.AudioFrame.from_ndarray(samples[None], format='fltp', layout='mono')
    frame.sample_rate = source
    resampler = av.AudioResampler(format='fltp', layout='mono', rate=target)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])
