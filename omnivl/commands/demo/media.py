"""Small copies of pictures and clips for the page, of any kind that is read, without what cameras write into files.

A browser gets nothing else of a file, so neither its place nor its metadata leave the machine.
"""

import base64
import io

import numpy as np
from PIL import Image

from omnivl.datasets.transforms import LoadImage, LoadVideo
from omnivl.structures import MODALITIES

SIDE = 480  # pixels of the longer side of a copy
SECONDS, RATE = 12, 10  # of a clip's copy: its first seconds, frames per second
JPEG, MP4 = 'image/jpeg', 'video/mp4'


def thumbnail(path: str, modality: str) -> bytes:
    """Make a small JPEG of a picture, or of a frame in the middle of a clip; a broken one is a BrokenVisualError."""
    load = LoadVideo(1, short_side=SIDE) if MODALITIES[modality].has_time else LoadImage(short_side=SIDE)
    small = Image.fromarray(load({'visual': path})['frames'][0])
    small.thumbnail((SIDE, SIDE))
    return jpeg(small)


def jpeg(picture: Image.Image) -> bytes:
    """Encode a picture as a JPEG."""
    file = io.BytesIO()
    picture.save(file, 'JPEG', quality=85)
    return file.getvalue()


def small_clip(path: str) -> bytes:
    """Make a small MP4, which every browser plays, of the first seconds of a clip; no sound.

    A broken clip is a BrokenVisualError.
    """
    import av

    loaded = LoadVideo(SECONDS * RATE, short_side=SIDE // 2)({'visual': path, 'clip': (0, SECONDS)})
    frames, times = loaded['frames'], loaded['pts_seconds']
    # Each frame once: a clip with few of them repeats some.
    kept = np.unique(times, return_index=True)[1]
    rate = (len(kept) - 1) / max(float(times[-1] - times[0]), 1 / RATE)
    height, width = (side // 2 * 2 for side in frames.shape[1:3])  # H.264 halves the resolution of colours
    file = io.BytesIO()
    with av.open(file, 'w', format='mp4') as target:
        stream = target.add_stream('libx264', rate=max(round(rate), 1), options={'preset': 'veryfast'})
        stream.height, stream.width, stream.pix_fmt = height, width, 'yuv420p'
        for frame in frames[kept]:
            small = np.ascontiguousarray(frame[:height, :width])
            target.mux(stream.encode(av.VideoFrame.from_ndarray(small, format='rgb24')))
        target.mux(stream.encode())
    return file.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Write bytes of a kind as an address that stands for them, so that no file has to be served."""
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'
