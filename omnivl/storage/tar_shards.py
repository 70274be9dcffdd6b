"""Shards: tar files of ``key.jpg``, ``key.txt``, ``key.json``, as img2dataset, video2dataset and webdataset write them.

A member of a shard has a URL, in which its place is told, so that nothing but its own bytes is read:
``tar://000000123.jpg?51200+8943::cc12m/00012.tar``, where 51200 is its first byte and 8943 their number; where the
CRC-32 of the bytes is known it follows, in hexadecimal digits: ``?51200+8943+1c291ca3``. The shard may be a URL itself.
"""

import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote, unquote

from omnivl.errors import OmniVLTypeError, OmniVLValueError
from omnivl.structures import modality_of_path

BLOCK = 512  # bytes of a tar file's header, of which all of its sizes are multiples
CHUNK = 1 << 20
OPEN_SHARDS = 16  # of each process
MOST_TEXT = 1 << 20  # bytes of a member with text or JSON
_URL = re.compile(r'tar://([^?]*)\?(\d+)\+(\d+)(?:\+([0-9a-f]{8}))?::(.+)', re.DOTALL)


class ShardError(OmniVLValueError):
    """A shard, or a member of it, that is missing, cut short or damaged."""


class Member(NamedTuple):
    """Where the bytes of a file inside a shard are.

    Attributes:
        shard: Path or URL of the shard.
        name: The member's name in it.
        offset: Its first byte.
        length: Number of its bytes.
        crc32: Their checksum; None = not known.
    """

    shard: str
    name: str
    offset: int
    length: int
    crc32: int | None = None

    @property
    def url(self) -> str:
        checksum = '' if self.crc32 is None else f'+{self.crc32:08x}'
        return f'tar://{quote(self.name)}?{self.offset}+{self.length}{checksum}::{self.shard}'


def member_of(url: str) -> Member | None:
    """Read the URL of a member; None for any other path or URL."""
    found = _URL.fullmatch(url) if url.startswith('tar://') else None
    if found is None:
        return None
    name, offset, length, crc32, shard = found.groups()
    return Member(shard, unquote(name), int(offset), int(length), None if crc32 is None else int(crc32, 16))


def shard_of(url: str) -> str:
    """Return the shard that a visual lies in; '' for one that is a file of its own."""
    return url.partition('::')[2] if _URL.match(url) else ''


def read_member(member: Member, file: BinaryIO) -> bytes:
    """Read a member out of its open shard; one that is too short, and bytes of another checksum, are a ShardError."""
    try:
        data = os.pread(file.fileno(), member.length, member.offset)
    except OSError as error:
        raise ShardError(f'{member.shard} cannot be read: {error.strerror}') from error
    if len(data) < member.length:
        end = member.offset + member.length
        raise ShardError(f'{member.shard} was cut short: {member.name} ends at byte {end}, the shard before')
    if member.crc32 is not None and zlib.crc32(data) != member.crc32:
        raise ShardError(f'{member.name} of {member.shard} was damaged, or changed since its index was made (CRC-32)')
    return data


@lru_cache(maxsize=OPEN_SHARDS)
def opened_shard(path: str) -> BinaryIO:
    """Open a shard, and keep a few open: on a network disk opening takes as long as decoding a picture."""
    try:
        return open(path, 'rb', buffering=0)
    except OSError as error:
        raise ShardError(f'there is no shard {path} ({error.strerror})') from error


@dataclass
class Sample:
    """What the members of one key say: a visual and its texts.

    Attributes:
        visual: The picture or clip; its ``shard`` is left to the reader of the index.
        text: The captions, one a line; '' = none.
        label: The class; '' = none.
        records: JSON list of records with all their fields, as ``omnivl pack`` writes; '' = none.
    """

    visual: Member
    text: str = ''
    label: str = ''
    records: str = ''


@dataclass
class Contents:
    """What is in a shard.

    Attributes:
        samples: In the order of the shard.
        troubles: What is wrong with it, a line each.
        others: Number of members that are no pictures, clips, texts or JSON.
    """

    samples: list[Sample] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    others: int = 0


def read_shard(path: str, checksums: bool = False) -> Contents:
    """Read the headers of a shard, and of its members the texts and the JSON.

    What comes before damage is kept. Only plain members count: neither links nor devices, and nothing hidden. With
    ``checksums`` pictures and clips are read too, for their CRC-32.
    """
    found = Contents()
    texts: dict[str, dict[str, bytes]] = {}
    visuals: list[tuple[str, Member]] = []
    try:
        with open(path, 'rb') as file:
            for name, offset, length in _members(file, found):
                kind = name.rpartition('/')[2].partition('.')[2]
                key = name[: len(name) - len(kind)]
                if kind in ('txt', 'json', 'cls') and length <= MOST_TEXT:
                    file.seek(offset)
                    texts.setdefault(key, {})[kind] = file.read(length)
                elif '.' not in kind and modality_of_path(name) is not None:
                    crc32 = _crc32(file, offset, length) if checksums else None
                    visuals.append((key, Member('', name, offset, length, crc32)))
                else:
                    found.others += 1
    except FileNotFoundError:
        found.troubles.append('it is not there')
    except (tarfile.TarError, OSError) as error:
        found.troubles.append(f'it is no whole, uncompressed tar file: {error}')
    for key, visual in visuals:
        try:
            found.samples.append(_sample(visual, texts.get(key, {})))
        except (ValueError, TypeError) as error:
            found.troubles.append(f'{visual.name} is left out, as its text or JSON cannot be read: {error}')
    return found


def _members(file: BinaryIO, found: Contents) -> Iterator[tuple[str, int, int]]:
    """Yield name, first byte and number of bytes of plain members; say in ``found`` where the file ends too soon."""
    size = os.fstat(file.fileno()).st_size
    with tarfile.open(fileobj=file, mode='r:') as tar:  # never compressed: a member must be where its header says
        for member in tar:
            if member.isdir():
                continue
            if member.offset_data + member.size > size:
                found.troubles.append(f'it was cut short inside {member.name}, at byte {size}')
                return
            if member.isreg() and not member.issparse() and not os.path.basename(member.name).startswith('.'):
                yield member.name, member.offset_data, member.size
            else:
                found.others += 1
        file.seek(tar.offset)
        # tarfile takes a header that it cannot read for the end; the end is a block of zeros.
        if file.read(BLOCK) != bytes(BLOCK):
            what = 'it was cut short' if tar.offset + BLOCK > size else 'a header is damaged'
            found.troubles.append(f'{what} at byte {tar.offset}')


def _crc32(file: BinaryIO, offset: int, length: int) -> int:
    file.seek(offset)
    crc32 = 0
    while length > 0 and (part := file.read(min(length, CHUNK))):
        crc32, length = zlib.crc32(part, crc32), length - len(part)
    return crc32


def _sample(visual: Member, texts: dict[str, bytes]) -> Sample:
    """Put a sample together; a text that is no UTF-8 and JSON that is none are a ValueError."""
    row: dict[str, Any] = json.loads(texts.get('json', b'{}').decode('utf-8-sig'))
    if not isinstance(row, dict):
        raise OmniVLTypeError('the JSON is no object')
    captions = row.get('caption') or ''
    text = '\n'.join(captions) if isinstance(captions, list) else str(captions)
    if 'txt' in texts:
        text = texts['txt'].decode('utf-8-sig')
    label = texts['cls'].decode().strip() if 'cls' in texts else row.get('label')
    records = row.get('records')
    return Sample(visual, text, '' if label is None else str(label), json.dumps(records) if records else '')
