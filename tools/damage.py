"""Damage files in every way that a disk, a network or a stranger may, and see that loading survives it.

Makes small images and clips of every format that is read, each with its number in its pixels, and damages half of them:
cut, bits flipped, blocks zeroed, headers overwritten, bytes put in, the content of another kind, or nothing at all. All
of them are then loaded under each policy for broken files, with worker processes. What must hold: no crash, no sample
over its deadline, no picture beside the caption of another, the same files broken under every policy, and all whole
ones read. Annotation files are damaged too, and must be read or refused in one line.

    python tools/damage.py --files 2000
    python tools/damage.py --files 200 --seed 3 --work-dir work_dirs/damage
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from mmengine.registry import init_default_scope
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from omnivl.datasets import BrokenVisualError, PairDataset, SampleKey, SkippedItem, VisualDataset, init_worker
from omnivl.datasets.guard import SampleGuard
from omnivl.datasets.samplers import EpochSampler
from omnivl.datasets.survival import batches_of
from omnivl.errors import OmniVLError
from omnivl.registry import ANNOTATIONS
from omnivl.storage import ProgressBar

SIDE, BITS, FRAMES = 64, 16, 12
IMAGES = ('jpg', 'png', 'gif', 'webp', 'bmp', 'tiff', 'ppm', 'avif')
CLIPS = {
    'mp4': 'libx264', 'mov': 'libx264', 'mkv': 'libx264', 'webm': 'libvpx', 'avi': 'mpeg4', 'ts': 'libx264',
    'mpg': 'mpeg1video', 'flv': 'flv', 'wmv': 'wmv2',
}  # fmt: skip
POLICIES = ('raise', 'skip', 'replace')
MAX_SECONDS = 20.0
Damage = Callable[[bytearray, np.random.Generator], bytearray]


def picture(number: int) -> np.ndarray:
    """Draw a number as a square of 16 black and white blocks; uint8 (64, 64, 3)."""
    bits = np.array([number >> place & 1 for place in range(BITS)], np.uint8).reshape(4, 4)
    return np.repeat(np.kron(bits * 200 + 28, np.ones((SIDE // 4, SIDE // 4), np.uint8))[..., None], 3, axis=2)


def number_in(frames: np.ndarray) -> int:
    """Read the number in the first frame of what was loaded."""
    blocks = frames[0].mean(axis=2).reshape(4, SIDE // 4, 4, SIDE // 4)[:, 4:12, :, 4:12].mean(axis=(1, 3)) > 128
    return int(sum(int(bit) << place for place, bit in enumerate(blocks.reshape(-1))))


def write_image(path: Path, number: int) -> None:
    """Write an image in the format of its suffix."""
    Image.fromarray(picture(number)).save(path)


def write_clip(path: Path, number: int) -> None:
    """Write a clip in the container of its suffix."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(CLIPS[path.suffix[1:]], rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, 'yuv420p'
        for _ in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number))))
        container.mux(stream.encode())


def cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Leave the beginning only."""
    return data[: int(rng.integers(len(data)))]


def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Flip some bits anywhere."""
    for place in rng.integers(len(data), size=rng.integers(1, 30)):
        data[place] ^= 1 << int(rng.integers(8))
    return data


def blank(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Zero a block."""
    start = int(rng.integers(len(data)))
    stop = min(len(data), start + int(rng.integers(1, 512)))
    data[start:stop] = bytes(stop - start)
    return data


def header(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Overwrite bytes among the first 200, or the last, where containers keep their tables."""
    start = 0 if rng.random() < 0.6 else max(0, len(data) - 600)
    for place in rng.integers(start, min(len(data), start + (600 if start else 200)), size=rng.integers(1, 12)):
        data[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
    return data


def insert(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Put random bytes in."""
    place = int(rng.integers(len(data)))
    data[place:place] = rng.bytes(int(rng.integers(1, 64)))
    return data


def other(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Take the content of something else altogether."""
    kinds = [
        b'',
        b'<html>404</html>',
        b'#EXTM3U\n#EXTINF:1,\nfile:///dev/zero\n',
        b'%!PS-Adobe-3.0 EPSF-3.0\n',
        bytes(512),
    ]
    return bytearray(kinds[int(rng.integers(len(kinds)))])


DAMAGES: tuple[Damage, ...] = (cut, flip, blank, header, insert, other)


def make_files(folder: Path, count: int, rng: np.random.Generator, kind: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Write whole and damaged files in turn; returns rows with caption and name, and the damage of each ('' = none)."""
    suffixes = IMAGES if kind == 'image' else tuple(CLIPS)
    rows, damages = [], []
    for number in range(2 * count):
        path = folder / f'{number}.{suffixes[number // 2 % len(suffixes)]}'
        (write_image if kind == 'image' else write_clip)(path, number)
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))] if number % 2 else None
        if damage is not None:
            path.write_bytes(damage(bytearray(path.read_bytes()), rng))
        rows.append({'image': path.name, 'caption': f'number {number}'})
        damages.append('' if damage is None else damage.__name__)
    return rows, damages


class Packed:
    """Last step of the pipeline: what is needed to look at the pairing."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        return dict(number=number_in(results['frames']), text=results['text'], broken=[])


class Watched(Dataset):
    """Items of a dataset with the errors that it raises, and the seconds that each took."""

    def __init__(self, dataset: VisualDataset, workers: int) -> None:
        self.dataset = dataset
        self.guard = dataset.guard = SampleGuard(workers)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        start = time.perf_counter()
        try:
            item = self.dataset[key]
        except BrokenVisualError as error:
            item = dict(raised=error.path)
        if isinstance(item, SkippedItem):
            item = dict(skipped=item.broken.path)
        elif item.get('broken'):
            item = dict(item, replaced=item['broken'][0].path)
        return dict(item, index=key.index, seconds=time.perf_counter() - start)


def load_all(folder: Path, rows: list[dict[str, Any]], kind: str, policy: str, workers: int) -> list[dict[str, Any]]:
    """Load every item under a policy; returns one dict for each."""
    load = dict(type='LoadImage') if kind == 'image' else dict(type='LoadVideo', num_frames=2)
    (folder / 'list.json').write_text(json.dumps(rows))
    reader = dict(type='BLIPCaptionJSON', ann_file=str(folder / 'list.json'), visual_root=str(folder), modality=kind)
    pipeline = [load, dict(type='Resize', size=SIDE), Packed()]
    dataset = PairDataset(
        annotations=reader,
        pipeline=pipeline,
        name=kind,
        broken=policy,
        max_broken_share=1.0,
        max_seconds=MAX_SECONDS,
    )
    watched = Watched(dataset, workers)
    sampler = EpochSampler(watched, batch_size=1, shuffle=False)
    loader: DataLoader = DataLoader(
        watched, batch_size=1, sampler=sampler, num_workers=workers, collate_fn=list, worker_init_fn=init_worker
    )
    found = []
    with ProgressBar(f'{kind}s, {policy}', len(rows), lines_every=30) as bar:
        for batch in batches_of(loader):
            found += batch
            bar.step()
    return found


def check(found: list[dict[str, Any]], rows: list[dict[str, Any]], damages: list[str]) -> Iterator[str]:
    """Yield what is wrong with the items of one policy."""
    if [item['index'] for item in found] != list(range(len(rows))):
        yield f'{len(found)} items came of {len(rows)}, or in another order'
    for item in found:
        row, damage = rows[item['index']], damages[item['index']]
        lost = broken_path(item)
        if item['seconds'] > 3 * MAX_SECONDS:
            yield f'{row["image"]} took {item["seconds"]:.1f} s'
        if lost is not None and not damage:
            yield f'{row["image"]} is whole and was refused'
        if 'text' in item:
            # A picture whose bits were flipped may show anything; that of a replacement and of a whole file may not.
            said = int(item['text'].split()[1])
            if item['number'] != said and not damages[said]:
                yield f'{row["image"]}: the picture of {item["number"]} came with the caption of {said}'
            if lost is None and said != item['index']:
                yield f'{row["image"]}: the caption of {said} came'


def broken_path(item: dict[str, Any]) -> str | None:
    """Return the file that an item could not use; None if it could."""
    return next((item[key] for key in ('raised', 'skipped', 'replaced') if key in item), None)


def damage_annotations(folder: Path, count: int, rng: np.random.Generator) -> tuple[Counter[str], list[str]]:
    """Damage annotation files and read them; returns how many were read and refused, and what else happened."""
    captions = [f'a "big" cat, number {number}\U0001f600' for number in range(20)]
    rows = [dict(image=f'{number}.jpg', caption=text, image_id=number) for number, text in enumerate(captions)]
    table = 'videoid,name,page_dir,contentUrl,duration\n' + ''.join(
        f'{number},"{text.replace(chr(34), chr(34) * 2)}",a,http://x/{number}.mp4,PT1S\n'
        for number, text in enumerate(captions)
    )
    kinds = {
        'json': (json.dumps(rows), dict(type='BLIPCaptionJSON')),
        'jsonl': ('\n'.join(map(json.dumps, rows)), dict(type='BLIPCaptionJSON')),
        'csv': (table, dict(type='WebVidCSV')),
        'tsv': (''.join(f'{text}\thttp://x/{n}.jpg\n' for n, text in enumerate(captions)), dict(type='CaptionTSV')),
    }
    seen: Counter[str] = Counter()
    wrong = []
    for number in range(count):
        suffix = list(kinds)[number % len(kinds)]
        text, config = kinds[suffix]
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        path = folder / f'{number}.{suffix}'
        path.write_bytes(damage(bytearray(text.encode()), rng))
        try:
            list(ANNOTATIONS.build(dict(config, ann_file=str(path), visual_root=str(folder))))
            seen['read'] += 1
        except OmniVLError as error:
            seen['refused'] += 1
            if path.name not in str(error) or '\n' in str(error).strip():
                wrong.append(f'{path.name} ({damage.__name__}): {error!r} is not one line with the name')
        except Exception as error:  # what must not happen, to be listed
            wrong.append(f'{path.name} ({damage.__name__}): {type(error).__name__}: {error}')
    return seen, wrong


def run(files: int, seed: int, workers: int, folder: Path) -> list[str]:
    """Damage and load; prints a table and returns what was wrong."""
    rng = np.random.default_rng(seed)
    problems: list[str] = []
    shares = dict(image=files * 6 // 10, video=files * 3 // 10)
    for kind, count in shares.items():
        place = folder / kind
        place.mkdir(parents=True, exist_ok=True)
        rows, damages = make_files(place, count, rng, kind)
        sets = {}
        for policy in POLICIES:
            found = load_all(place, rows, kind, policy, workers)
            problems += [f'{kind}, {policy}: {line}' for line in check(found, rows, damages)]
            sets[policy] = {broken_path(item) for item in found} - {None}
            slowest = max(item['seconds'] for item in found)
            print(f'{kind:6} {policy:8} {len(found):5} items, {count:5} damaged, {len(sets[policy]):5} broken, '
                  f'slowest {slowest:5.2f} s')  # fmt: skip
        if not sets['raise'] == sets['skip'] == sets['replace']:
            differ = sorted(map(str, (sets['raise'] ^ sets['skip']) | (sets['raise'] ^ sets['replace'])))
            problems.append(f'{kind}: the policies differ in {differ[:5]}')
        by_damage = Counter(damages[int(Path(str(path)).stem)] for path in sets['raise'])
        total = Counter(filter(None, damages))
        print(f'{kind:6} broken of damaged: ' + ', '.join(f'{name} {by_damage[name]}/{total[name]}' for name in total))
    place = folder / 'annotations'
    place.mkdir(exist_ok=True)
    seen, wrong = damage_annotations(place, files - sum(shares.values()), rng)
    print(f'annotation files: {seen["read"]} read, {seen["refused"]} refused')
    return problems + wrong


def main() -> None:
    """Run, and exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--files', type=int, default=2000, help='damaged files; as many whole ones stand beside them')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=2, help='processes that load')
    parser.add_argument('--work-dir', type=Path, help='keep the files here; by default they are removed')
    args = parser.parse_args()
    if args.files < 10 or args.workers < 1:
        parser.error('--files is at least 10, and --workers at least 1: a decoder that crashes takes its process along')
    logging.disable(logging.INFO)
    init_default_scope('omnivl')
    with tempfile.TemporaryDirectory() as scratch:
        problems = run(args.files, args.seed, args.workers, args.work_dir or Path(scratch))
    for problem in problems:
        print(f'WRONG {problem}')
    print(f'{len(problems)} problems' if problems else 'all as it should be')
    sys.exit(bool(problems))


if __name__ == '__main__':
    main()
