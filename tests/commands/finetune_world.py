"""Folders of a few pictures and clips, each in one of the forms that finetuning takes."""

import csv
import io
import json
import tarfile

import av
import numpy as np
from PIL import Image

COLOURS = {'red': (200, 30, 30), 'green': (30, 160, 50), 'blue': (40, 60, 200)}


def picture(path, number, size=(40, 30), **options):
    """Write a picture that no other number has, and return the name of its colour."""
    name = list(COLOURS)[number % 3]
    image = Image.new('RGB', size, COLOURS[name])
    image.putpixel((0, 0), (number % 256, number // 256, 7))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return name


def clip(path, number, frames=4):
    """Write a clip of H.264."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as out:
        stream = out.add_stream('libx264', rate=4)
        stream.width, stream.height, stream.pix_fmt = 32, 32, 'yuv420p'
        for turn in range(frames):
            pixels = np.full((32, 32, 3), 20 * turn + number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)


def texts(folder, count=8):
    """Make pictures with .txt beside them, two captions each."""
    for number in range(count):
        name = picture(folder / f'p{number}.png', number)
        (folder / f'p{number}.txt').write_text(f'a {name} thing\nthis is {name}\n')
    return folder


def table(folder, rows, name='data.csv', delimiter=',', count=8):
    """Make pictures and a table, whose first row is the header."""
    for number in range(count):
        picture(folder / f'images/p{number}.png', number)
    with open(folder / name, 'w', newline='') as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return folder


def metadata(folder, count=8):
    """Make Hugging Face's imagefolder."""
    for number in range(count):
        picture(folder / f'p{number}.png', number)
    lines = [json.dumps(dict(file_name=f'p{number}.png', text=f'number {number}')) for number in range(count)]
    (folder / 'metadata.jsonl').write_text('\n'.join(lines))
    return folder


def classes(folder, count=9, splits=()):
    """Make a folder for each colour, below folders of splits if there are any."""
    for number in range(count):
        for split in splits or ('',):
            name = list(COLOURS)[number % 3]
            picture(folder / split / name / f'{split}{number}.png', number + 100 * (split == 'test'))
    return folder


def shards(folder, tar=True, count=8):
    """Make the output of img2dataset, as files in folders or as tar files."""
    files = {}
    for number in range(count):
        key = f'0000{number % 2}/{number:08d}'
        picture(folder / f'{key}.jpg', number)
        (folder / f'{key}.txt').write_text(f'number {number}')
        (folder / f'{key}.json').write_text(json.dumps(dict(caption=f'number {number}', key=key)))
        files.setdefault(key[:5], []).extend(folder / f'{key}{end}' for end in ('.jpg', '.txt', '.json'))
    (folder / '00000_stats.json').write_text('{"count": 4}')
    if tar:
        for name, paths in files.items():
            with tarfile.open(folder / f'{name}.tar', 'w') as archive:
                for path in paths:
                    archive.add(path, path.name)
                    path.unlink()
    return folder


def add_member(shard, name, content=b'x', kind=tarfile.REGTYPE, link=''):
    """Put a member into a tar file."""
    with tarfile.open(shard, 'a') as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, link, len(content) if kind == tarfile.REGTYPE else 0
        archive.addfile(member, io.BytesIO(content))


def coco(folder, count=8):
    """Make captions in the form of COCO."""
    images = [dict(id=number, file_name=f'p{number}.png') for number in range(count)]
    for image in images:
        picture(folder / 'images' / image['file_name'], image['id'])
    notes = [dict(id=10 * n + k, image_id=n, caption=f'number {n} {k}') for n in range(count) for k in range(2)]
    (folder / 'captions.json').write_text(json.dumps(dict(images=images, annotations=notes)))
    return folder


def karpathy(folder, count=8):
    """Make captions in Karpathy's form, which come split."""
    images = []
    for number in range(count):
        picture(folder / f'images/p{number}.png', number)
        split = 'test' if number % 4 == 0 else 'restval' if number == 1 else 'train'
        sentences = [dict(raw=f'number {number}')]
        images.append(dict(filename=f'p{number}.png', split=split, sentences=sentences, imgid=number))
    (folder / 'dataset_own.json').write_text(json.dumps(dict(images=images)))
    return folder
