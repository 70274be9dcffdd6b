"""Real files, written with PyAV and PIL, whose frames carry their own number."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from omnivl.datasets.transforms import build_decoder
from omnivl.errors import OmniVLImportError

BITS = 8


def numbered_frame(number, height, width):
    """Red left, blue upper right, and the number in black and white blocks along the bottom, lowest bit first."""
    frame = np.full((height, width, 3), 40, np.uint8)
    frame[:, : width // 2] = (200, 60, 30)
    frame[: height // 2, width // 2 :] = (30, 60, 200)
    block = width // BITS
    for bit in range(BITS):
        frame[height - height // 3 :, bit * block : (bit + 1) * block] = 255 * (number >> bit & 1)
    return frame


def read_number(frame):
    height, width = frame.shape[:2]
    block = width // BITS
    row = frame[height - height // 6]
    return sum(int(row[bit * block + block // 2].mean() > 128) << bit for bit in range(BITS))


def write_video(
    path,
    num_frames=40,
    height=48,
    width=64,
    codec='libx264',
    pixel_format='yuv420p',
    options=None,
    times_ms=None,
    container_options=None,
):
    """Writes a video at 25 frames per second, or with the given times of display."""
    with av.open(str(path), 'w', options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.options = options or {}
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, height, width), 'rgb24')
            frame.time_base = Fraction(1, 25 if times_ms is None else 1000)
            frame.pts = number if times_ms is None else int(times_ms[number])
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_rotated(path, degrees):
    """Writes a video that says it is to be turned clockwise for display, as telephones do."""
    write_video(path)
    data = bytearray(path.read_bytes())
    matrix_at = data.find(b'tkhd') + 4 + 4 + 36
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    one = 1 << 16
    struct.pack_into('>9i', data, matrix_at, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def write_trimmed(path, hidden):
    """Copies a stream so that its first frames are hidden by an edit list, like ``ffmpeg -ss ... -c copy``."""
    whole = write_video(path.with_name('whole.mp4'))
    with av.open(str(whole)) as source, av.open(str(path), 'w', options={'avoid_negative_ts': 'disabled'}) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        shift = round(hidden / 25 / stream.time_base)
        for packet in source.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                target.mux(packet)
    return path


def write_sound(path):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), 'fltp', layout='mono')
        frame.rate, frame.pts = 44100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def irregular_times(num_frames):
    """Milliseconds at which frames are displayed: pauses of 200 between some, 40 between the others."""
    return np.cumsum([0, *(200 if number % 3 == 0 else 40 for number in range(1, num_frames))])


def build_or_skip(backend):
    """A decoder by name; skips the test where its library has no wheel (decord) or lacks another (torchcodec)."""
    try:
        return build_decoder(backend)
    except OmniVLImportError as error:
        pytest.skip(str(error).splitlines()[0])


class LetterTokenizer:
    """One id per letter, between 101 and 102."""

    def encode(self, text, max_length):
        letters = [ord(letter) for letter in text][: max_length - 2]
        return np.array([101, *letters, 102], dtype=np.int64)
