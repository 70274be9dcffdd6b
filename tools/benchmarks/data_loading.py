"""Measure how fast samples come beside a bare loop that only decodes and scales, all in one run.

The tool makes its own files, photographs of 640 x 480 as JPEG and clips of ten seconds of 340 x 256 as H.264, and loads
each of them by a dataset of this project (annotations, checks of the file, limits, deadline, draws, packing) and by the
few lines that call the same library directly. The two take turns, round after round; what counts is the ratio of their
medians. A share of 1 means that everything around the decoding costs nothing.

    python tools/benchmarks/data_loading.py
    python tools/benchmarks/data_loading.py --decoder decord --workers 2
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as F

from omnivl.datasets import collate_samples, init_worker
from omnivl.registry import DATASETS

SIZE, FRAMES = 224, 8
PHOTO, CLIP, FPS, SECONDS = (480, 640), (256, 340), 25, 10


def make_photo(path: Path, rng: np.random.Generator) -> None:
    """Write a JPEG whose detail is about that of a photograph: noise of several sizes, added up."""
    pixels = sum(
        cv2.resize(rng.normal(0, 30, (side, side, 3)).astype(np.float32), PHOTO[::-1], interpolation=cv2.INTER_CUBIC)
        for side in (4, 16, 64, 256)
    )
    Image.fromarray(np.clip(pixels + 128, 0, 255).astype(np.uint8)).save(path, quality=90)


def make_clip(path: Path, rng: np.random.Generator) -> None:
    """Write a clip of H.264 that moves over a picture; a key frame about every two seconds, as on the web."""
    height, width = CLIP
    picture = cv2.resize(rng.normal(128, 60, (64, 64, 3)).astype(np.float32), (2 * width, 2 * height))
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=FPS, options={'g': str(2 * FPS), 'crf': '23'})
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for number in range(FPS * SECONDS):
            top, left = number * height // (FPS * SECONDS), number * width // (FPS * SECONDS)
            view = np.clip(picture[top : top + height, left : left + width], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format='rgb24')))
        container.mux(stream.encode())


def bare_photo(path: str) -> np.ndarray:
    """Decode a photograph: uint8 (1, H, W, 3)."""
    with Image.open(path) as image:
        return np.array(image.convert('RGB'))[None]


def bare_decord(path: str) -> np.ndarray:
    """Decode eight frames by decord, from the first on as its seeking is not exact; uint8 (8, H, W, 3)."""
    import decord

    video = decord.VideoReader(path, num_threads=1)
    frames, wanted = [], middles(len(video))
    for number in range(wanted[-1] + 1):
        frame = video.next()
        if number in wanted:
            frames.append(frame.asnumpy())
    return np.stack(frames)


def bare_pyav(path: str) -> np.ndarray:
    """Decode eight frames by PyAV, each from the key frame before it; uint8 (8, H, W, 3)."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        step = int(1 / (stream.average_rate * stream.time_base))
        frames = []
        for number in middles(stream.frames):
            container.seek(number * step, stream=stream)
            frame = next(frame for frame in container.decode(stream) if frame.pts >= number * step)
            frames.append(frame.to_ndarray(format='rgb24'))
        return np.stack(frames)


def middles(count: int) -> list[int]:
    """Return the middle frame of each of eight equal parts."""
    return [int((part + 0.5) * count / FRAMES) for part in range(FRAMES)]


class Bare(Dataset):
    """Decode, scale and put the channels first: what no loop can do without."""

    def __init__(self, paths: list[str], decode: Callable[[str], np.ndarray]) -> None:
        self.paths = paths
        self.decode = decode

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        frames = torch.from_numpy(self.decode(self.paths[index])).permute(0, 3, 1, 2)
        return F.resize(frames, [SIZE, SIZE], F.InterpolationMode.BICUBIC, antialias=True).contiguous()


def make_dataset(folder: Path, paths: list[str], load: dict[str, Any], modality: str) -> Dataset:
    """Build a dataset of this project over the same files."""
    rows = [{'image': Path(path).name, 'caption': f'number {number}'} for number, path in enumerate(paths)]
    ann_file = folder / f'{modality}.json'
    ann_file.write_text(json.dumps(rows))
    annotations = dict(type='BLIPCaptionJSON', ann_file=str(ann_file), visual_root=str(folder), modality=modality)
    pipeline = [load, dict(type='Resize', size=SIZE), dict(type='PackSample')]
    return DATASETS.build(dict(type='PairDataset', annotations=annotations, pipeline=pipeline, name=modality))


def seconds_of(batches: Iterable) -> float:
    """Go through a loader once."""
    start = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start


def measure(name: str, ours: DataLoader, bare: DataLoader, rounds: int) -> dict[str, Any]:
    """Let the two take turns; returns the median seconds of each and what share of the bare speed ours has."""
    seconds_of(ours), seconds_of(bare)
    times = [(seconds_of(ours), seconds_of(bare)) for _ in range(rounds)]
    own, least = (statistics.median(column) for column in zip(*times))
    spread = sorted(bare / own for own, bare in times)
    print(f'{name:8}  ours {own:7.3f} s   bare {least:7.3f} s   ours / bare speed {least / own:5.3f}'
          f'   ({spread[0]:.3f} to {spread[-1]:.3f})')  # fmt: skip
    return dict(ours=own, bare=least, share=least / own, rounds=spread)


def main() -> None:
    """Measure images, then clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=64)
    parser.add_argument('--clips', type=int, default=16)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--workers', type=int, default=0, help='processes of each loader; 0 = in this process')
    parser.add_argument('--decoder', choices=('decord', 'pyav'), default='pyav', help='of the clips')
    parser.add_argument('--out', type=Path, help='JSON file for the figures')
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = [str(folder / f'{number}.jpg') for number in range(args.images)]
        clips = [str(folder / f'{number}.mp4') for number in range(args.clips)]
        for path in photos:
            make_photo(Path(path), rng)
        for path in clips:
            make_clip(Path(path), rng)
        decode = dict(decord=bare_decord, pyav=bare_pyav)[args.decoder]
        load = dict(type='LoadVideo', num_frames=FRAMES, decoder=args.decoder)
        figures = {}
        for kind, paths, bare, step in (
            ('image', photos, bare_photo, dict(type='LoadImage')),
            ('video', clips, decode, load),
        ):
            options: dict[str, Any] = dict(batch_size=8, num_workers=args.workers, worker_init_fn=init_worker)
            ours = make_dataset(folder, paths, step, kind)
            figures[kind] = measure(
                kind,
                DataLoader(ours, collate_fn=collate_samples, **options),
                DataLoader(Bare(paths, bare), **options),
                args.rounds,
            )
    if args.out:
        args.out.write_text(json.dumps(figures, indent=1) + '\n')


if __name__ == '__main__':
    main()
