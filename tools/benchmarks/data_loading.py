"""Measure how fast samples come beside a bare loop that only decodes and scales, all in one run.

The tool makes its own files, photographs of 640 x 480 as JPEG and clips of ten seconds of 340 x 256 as H.264, and loads
each of them by a dataset of this project (annotations, checks of the file, limits, deadline, draws, packing), from the
files and from shards of them with checksums, and by the few lines that call the same library directly. They take turns,
round after round; what counts is the ratio of their medians. A share of 1 means that everything around the decoding
costs nothing. With --rows it measures a long list instead: how soon a loader starts the first time and after that, how
soon it goes on after 10 and 10,000 steps (their ratio should be below 1.2), and what memory it and its workers hold.

    python tools/benchmarks/data_loading.py
    python tools/benchmarks/data_loading.py --rows 5000000 --workers 2
    python tools/benchmarks/data_loading.py --decoder decord --workers 2
"""

import argparse
import io
import json
import multiprocessing
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from figures import write_json
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as F

from omnivl.commands.shards.indexing import index_shards, list_shards
from omnivl.datasets import EpochSampler, collate_samples, init_worker
from omnivl.datasets.transforms.base import Transform
from omnivl.registry import DATASETS
from omnivl.storage import hashes

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


def make_shards(folder: Path, paths: list[str], load: dict[str, Any], modality: str, each: int) -> Dataset:
    """Build the same dataset over shards of so many files each."""
    shards = folder / f'{modality}_shards'
    shards.mkdir()
    for first in range(0, len(paths), each):
        with tarfile.open(shards / f'{first // each:05d}.tar', 'w') as tar:
            for number in range(first, min(first + each, len(paths))):
                tar.add(paths[number], f'{number:09d}{Path(paths[number]).suffix}')
                text = tarfile.TarInfo(f'{number:09d}.txt')
                content = f'number {number}'.encode()
                text.size = len(content)
                tar.addfile(text, io.BytesIO(content))
    root, names = list_shards([str(shards)])
    index_shards(root, names, shards / 'index.npz', workers=0, checksums=True)
    annotations = dict(type='ShardIndex', ann_file=str(shards / 'index.npz'), modality=modality)
    pipeline = [load, dict(type='Resize', size=SIZE), dict(type='PackSample')]
    return DATASETS.build(dict(type='PairDataset', annotations=annotations, pipeline=pipeline, name=modality))


def seconds_of(loader: DataLoader) -> float:
    """Go through a loader once; without workers the seconds are those of this process, whatever others do."""
    clock = time.perf_counter if loader.num_workers else time.process_time
    start = clock()
    for _ in loader:
        pass
    return clock() - start


def measure(name: str, loaders: dict[str, DataLoader], samples: int, cores: int, rounds: int) -> dict[str, Any]:
    """Let loaders take turns, the last is the bare one; return the median seconds of each and its share of the bare."""
    for loader in loaders.values():
        seconds_of(loader)
    times = [[seconds_of(loader) for loader in loaders.values()] for _ in range(rounds)]
    figures = {}
    for kind, column in zip(loaders, zip(*times)):
        shares = sorted(row[-1] / own for row, own in zip(times, column))
        figures[kind] = dict(
            seconds=statistics.median(column),
            samples_per_second_and_core=samples / statistics.median(column) / cores,
            share=statistics.median(row[-1] for row in times) / statistics.median(column),
            rounds=shares,
        )
        one = figures[kind]
        print(
            f'{name:6} {kind:7} {one["samples_per_second_and_core"]:8.1f} samples/s per core   '
            f'of the bare speed {one["share"]:5.3f}   ({shares[0]:.3f} to {shares[-1]:.3f})'
        )
    return figures


class Key(Transform):
    """The end of a pipeline that loads nothing."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Keep a number of the sample."""
        return dict(target=results['target_id'])


def proportional_memory() -> int:
    """Return the bytes of memory of this process and its children, shared pages shared out among them."""
    found = 0
    for process in [os.getpid(), *(child.pid for child in multiprocessing.active_children())]:
        lines = Path(f'/proc/{process}/smaps_rollup').read_text().splitlines()
        found += sum(int(line.split()[1]) << 10 for line in lines if line.startswith('Pss:'))
    return found


def measure_rows(rows: int, workers: int, folder: Path) -> dict[str, float]:
    """Measure the start, the resume and the memory of a loader with a list of so many rows."""
    os.environ['OMNIVL_CACHE'] = str(folder / 'cache')
    ann_file = folder / 'rows.jsonl'
    with ann_file.open('w') as file:
        for number in range(rows):
            caption = f'a picture of number {number} beside some other words'
            file.write(f'{{"image": "{number // 10000:05d}/{number:09d}.jpg", "caption": "{caption}"}}\n')
    annotations = dict(type='BLIPCaptionJSON', ann_file=str(ann_file), visual_root=str(folder))
    config = dict(type='PairDataset', annotations=annotations, pipeline=[Key()], name='rows', map_rows=True)
    figures: dict[str, float] = {}
    for name in ('first_start_seconds', 'start_seconds'):
        hashes._sha256_of_state.cache_clear()  # a new process has to read the list for its checksum
        before, start = proportional_memory(), time.perf_counter()
        dataset = DATASETS.build(config)
        figures[name] = time.perf_counter() - start
    figures['list_bytes'] = next((folder / 'cache' / 'rows').glob('*.npz')).stat().st_size
    sampler = EpochSampler(dataset, batch_size=64)
    for steps in (10, 10_000, 10, 10_000):
        loader = DataLoader(
            dataset, 64, sampler=sampler, num_workers=workers, collate_fn=len, worker_init_fn=init_worker
        )
        sampler.set_position(0, min(steps, sampler.batches_per_epoch - 1))
        start = time.perf_counter()
        next(iter(loader))
        figures[f'resume_seconds_after_{steps}'] = time.perf_counter() - start  # the later one, with files read before
    figures['resume_after_10000_over_10'] = figures['resume_seconds_after_10000'] / figures['resume_seconds_after_10']
    sampler.set_position(0)
    loader = DataLoader(dataset, 64, sampler=sampler, num_workers=workers, collate_fn=len, worker_init_fn=init_worker)
    held, some = 0, max(1, len(loader) // 5)  # a fifth of the rows, in a drawn order: of nearly every page one
    for number, _ in zip(range(some), loader):
        if number % max(1, some // 4) == max(1, some // 4) - 1:
            held = max(held, proportional_memory() - before)
    figures['held_bytes'] = held
    figures['held_over_list'] = held / figures['list_bytes']
    for name, figure in figures.items():
        print(f'{name:30} {figure:14.4g}')
    return figures


def main() -> None:
    """Measure images, then clips; or a list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=64)
    parser.add_argument('--clips', type=int, default=16)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--workers', type=int, default=0, help='processes of each loader; 0 = in this process')
    parser.add_argument('--decoder', choices=('decord', 'pyav'), default='pyav', help='of the clips')
    parser.add_argument('--rows', type=int, help='measure a list of so many rows instead')
    parser.add_argument('--json', type=Path, help='also write the figures to this file')
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = measure_rows(args.rows, args.workers, folder) if args.rows else measure_samples(args, folder)
    write_json(args.json, figures)


def measure_samples(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure images, then clips."""
    rng = np.random.default_rng(0)
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
        files = make_dataset(folder, paths, step, kind)
        shards = make_shards(folder, paths, step, kind, max(1, len(paths) // 4))
        loaders = dict(
            files=DataLoader(files, collate_fn=collate_samples, **options),
            shards=DataLoader(shards, collate_fn=collate_samples, **options),
            bare=DataLoader(Bare(paths, bare), **options),
        )
        figures[kind] = measure(kind, loaders, len(paths), max(args.workers, 1), args.rounds)
    return figures


if __name__ == '__main__':
    main()
