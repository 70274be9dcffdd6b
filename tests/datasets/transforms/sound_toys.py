"""Real files with sound, written with PyAV: a tone that rises, so that each moment is known by ear."""

from fractions import Fraction

import av
import numpy as np

LOW, SLOPE = 200.0, 300.0  # Hz at the beginning, and how many more after each second


def rising(seconds, rate, start=0.0):
    """Sample the tone, of amplitude 0.5, at ``seconds`` * ``rate`` moments from ``start`` on."""
    times = start + np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * (LOW * times + SLOPE / 2 * times**2)).astype(np.float32)


def write_sound(path, channels, rate=44100, codec='pcm_s16le', kind=None, frames=0, first_frame=0, delay=0.0):
    """Write channels float32 (C, N) behind a pause, with frames of a video beside them at 10 per second.

    ``first_frame`` is the number of the first one, so that the video begins later than the file.
    """
    channels = np.atleast_2d(channels)
    layout = 'stereo' if len(channels) == 2 else 'mono'
    with av.open(str(path), 'w', format=kind) as container:
        if frames:
            video = container.add_stream('libx264', rate=10)
            video.width = video.height = 32
            video.pix_fmt = 'yuv420p'
        sound = container.add_stream(codec, rate=rate, layout=layout)
        sound.bit_rate = 192_000
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 5 * number, np.uint8), 'rgb24')
            frame.pts, frame.time_base = first_frame + number, Fraction(1, 10)
            container.mux(video.encode(frame))
        if frames:
            container.mux(video.encode())
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels, np.float32), format='fltp', layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(delay * rate)
        context = sound.codec_context
        cut = av.AudioResampler(context.format, layout, rate, context.frame_size or 1024)
        for part in [*cut.resample(frame), *cut.resample(None)]:
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    return str(path)
