"""Headers of shards, their index, and members read by their place."""

import json
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from shard_toys import picture, samples, write_set, write_shard

from omnivl.storage.arrays import Strings, map_arrays, write_arrays
from omnivl.storage.shard_index import IndexOfShards
from omnivl.storage.tar_shards import Member, ShardError, member_of, read_member, read_shard, shard_of

LONG = 'folder/' * 40


@pytest.mark.parametrize('shard', ['a/00001.tar', 's3://bucket/00001.tar', '/x y/00001.tar'])
@pytest.mark.parametrize('crc32', [None, 7, 0xFFFFFFFF])
def test_the_url_of_a_member_says_where_it_is(shard, crc32):
    member = Member(shard, 'a b?c#d::é.jpg', 512, 34, crc32)
    assert member_of(member.url) == member and shard_of(member.url) == shard
    for other in ('a/b.jpg', 'tar://a.jpg::b.tar', 'https://x/a.jpg'):
        assert member_of(other) is None and shard_of(other) == ''


@pytest.mark.parametrize('form', [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_of_all_plain_tar_files_are_read(tmp_path, form):
    names = [LONG[:80] + 'a.png'] + ([LONG + 'b.png', 'ü/c.png'] if form != tarfile.USTAR_FORMAT else [])
    members = [(name, picture(number)) for number, name in enumerate(names)]
    found = read_shard(str(write_shard(tmp_path / 'a.tar', members, format=form)), checksums=True)
    assert (found.troubles, found.others) == ([], 0)
    with open(tmp_path / 'a.tar', 'rb') as file:
        for sample, (name, content) in zip(found.samples, members, strict=True):
            assert sample.visual.name == name and sample.visual.crc32 == zlib.crc32(content)
            assert read_member(sample.visual, file) == content


@pytest.fixture
def odd(tmp_path):
    """A shard whose members have texts of all kinds."""
    members = [
        ('a.txt', 'a cat\nfrom the left\n'.encode('utf-8-sig')),
        ('a.png', b'1'),
        ('a.json', b'{"caption": "not this"}'),
        ('b.png', b'22'),
        ('b.json', json.dumps(dict(caption=['one', 'two'], label=3)).encode()),
        ('c.mp4', b'333'),
        ('c.cls', b'17\n'),
        *[('d.png', b'4'), ('d.txt', b'\xff\xfe'), ('e.png', b'5'), ('e.json', b'[1]')],
        *[('f.seg.png', b''), ('g.npy', b''), ('.hidden.png', b''), ('h.txt', b'alone')],
    ]
    return write_shard(tmp_path / 'odd.tar', members)


def test_a_sample_is_what_shares_a_key(odd):
    found = read_shard(str(odd))
    assert [(one.visual.name, one.visual.length, one.text, one.label) for one in found.samples] == [
        ('a.png', 1, 'a cat\nfrom the left\n', ''),
        ('b.png', 2, 'one\ntwo', '3'),
        ('c.mp4', 3, '', '17'),
    ]
    assert all(one.visual.crc32 is None for one in found.samples)
    assert found.others == 3 and len(found.troubles) == 2
    assert found.troubles[0].startswith('d.png is left out, as its text or JSON cannot be read')


def test_links_devices_and_folders_are_no_samples(tmp_path):
    with tarfile.open(tmp_path / 'a.tar', 'w') as tar:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE)):
            entry = tarfile.TarInfo(f'{number}.png')
            entry.type, entry.linkname = kind, '/etc/passwd'
            tar.addfile(entry)
    found = read_shard(str(tmp_path / 'a.tar'))
    assert (found.samples, found.others, found.troubles) == ([], 3, [])


def cut(data: bytes) -> bytes:
    return data[:1100]


def cut_between(data: bytes) -> bytes:
    return data[: data.index(b'000000001.png')]


def damaged(data: bytes) -> bytes:
    place = data.index(b'000000001.png')
    return data[:place] + b'X' * 512 + data[place + 512 :]


@pytest.mark.parametrize(
    ('spoil', 'left', 'trouble'),
    [
        (cut, 1, 'it was cut short at byte 1024'),
        (cut_between, 1, 'it was cut short at byte 3072'),
        (damaged, 1, 'a header is damaged at byte 3072'),
        (lambda data: b'', 0, 'it is no whole, uncompressed tar file: '),
        (lambda data: b'x' * 2048, 0, 'it is no whole, uncompressed tar file: '),
        (lambda data: zlib.compress(data), 0, 'it is no whole, uncompressed tar file: '),
        (None, 0, 'it is not there'),
    ],
)
def test_what_is_wrong_with_a_shard_is_told_and_the_rest_is_kept(tmp_path, spoil, left, trouble):
    path = write_shard(tmp_path / 'a.tar', samples(0, 2))
    data = path.read_bytes()
    path.unlink()
    if spoil is not None:
        path.write_bytes(spoil(data))
    found = read_shard(str(path))
    assert [one.visual.name for one in found.samples] == ['000000000.png'][:left]
    assert len(found.troubles) == 1 and found.troubles[0].startswith(trouble)


def test_a_member_that_is_not_whole_is_an_error(tmp_path):
    index = IndexOfShards(write_set(tmp_path, [2]))
    path = tmp_path / index.shards[0]
    visual = index[1].visual
    data = bytearray(path.read_bytes())
    data[visual.offset + 5] ^= 1
    path.write_bytes(data)
    with open(path, 'rb') as file:
        with pytest.raises(ShardError, match=r'000000001\.png of 00000\.tar was damaged, or changed .* \(CRC-32\)'):
            read_member(visual, file)
        assert len(read_member(visual._replace(crc32=None), file)) == visual.length
        with pytest.raises(ShardError, match=r'00000\.tar was cut short: 000000001\.png ends at byte'):
            read_member(visual._replace(offset=len(data) - 3), file)


def test_an_index_is_its_shards_one_after_the_other(tmp_path):
    index = IndexOfShards(write_set(tmp_path, [3, 0, 2]))
    assert len(index) == 5 and index.shards == [f'0000{number}.tar' for number in range(3)]
    assert index.sizes.tolist() == [(tmp_path / name).stat().st_size for name in index.shards]
    found = list(index)
    assert [one.text for one in found] == [f'number {number}' for number in range(5)]
    assert [one.visual.shard for one in found] == ['00000.tar'] * 3 + ['00002.tar'] * 2
    with np.load(tmp_path / 'index.npz') as arrays:  # the file is numpy's own
        assert arrays['length'].tolist() == [one.visual.length for one in found]


def test_arrays_are_mapped_and_anything_else_is_refused(tmp_path):
    path = tmp_path / 'a.npz'
    arrays = dict(
        one=np.arange(6).reshape(2, 3), none=np.empty((0, 3), np.float32), text=np.frombuffer(b'abc', np.uint8)
    )
    write_arrays(path, arrays)
    mapped = map_arrays(path)
    assert mapped.keys() == arrays.keys() and isinstance(mapped['one'], np.memmap)
    assert all(
        np.array_equal(mapped[name], arrays[name]) and mapped[name].dtype == arrays[name].dtype for name in arrays
    )
    with pytest.raises(ValueError, match='read-only'):
        mapped['one'][0, 0] = 1
    for wrong in (path.read_bytes()[:-30], b'nothing'):
        Path(tmp_path / 'wrong.npz').write_bytes(wrong)
        with pytest.raises(ValueError, match='is no whole file of arrays'):
            map_arrays(tmp_path / 'wrong.npz')
    np.savez_compressed(tmp_path / 'wrong.npz', one=np.arange(3))
    with pytest.raises(ValueError, match='compressed'):
        map_arrays(tmp_path / 'wrong.npz')
    write_arrays(path, dict(format=np.array([1])))
    with pytest.raises(ValueError, match=r'is no index of shards, it has no .*: write one with omnivl shards'):
        IndexOfShards(path)


def test_strings_in_memory_and_in_a_file_are_the_same(tmp_path):
    texts = [b'a', b'', b'bcd']
    with open(tmp_path / 'strings', 'w+b') as file:
        for strings in (
            Strings.of(texts),
            Strings.of(texts, file),
            Strings.joined([Strings.of(texts[:1]), Strings.of(texts[1:])], file),
        ):
            assert list(map(bytes, strings)) == texts
