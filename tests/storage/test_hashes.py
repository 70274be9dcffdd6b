"""Checksums of files."""

import hashlib
import os
import subprocess

import pytest
import torch

from omnivl.storage import BrokenCheckpointError, file_sha256, folder_sha256
from omnivl.storage.hashes import content_sha256, read_sha256, weights_sha256
from omnivl.storage.sums import check_sums, write_sums


def test_known_checksums_also_after_a_change(tmp_path):
    """Of nothing and of 'abc', as the standard (FIPS 180-4) has them; more than one chunk by hashlib at once."""
    path = tmp_path / 'file'
    path.write_bytes(b'')
    assert file_sha256(str(path)) == 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    path.write_bytes(b'abc')
    assert file_sha256(str(path)) == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    content = os.urandom((1 << 20) + 7)
    path.write_bytes(content)
    assert file_sha256(str(path)) == hashlib.sha256(content).hexdigest()


def test_a_folder_is_its_files_one_after_the_other(tmp_path):
    for name, text in (('b.txt', 'c'), ('a.txt', 'ab')):
        (tmp_path / name).write_text(text)
    assert folder_sha256(tmp_path) == hashlib.sha256(b'abc').hexdigest()


def test_what_is_on_the_disk_now_counts(tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'abc')
    state = path.stat()
    before = file_sha256(path)
    path.write_bytes(b'abd')
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file_sha256(path) == before != read_sha256(path)


def test_equal_contents_have_one_checksum_and_others_another():
    grid = torch.arange(12.0).reshape(3, 4)
    assert content_sha256(dict(a=grid.T)) == content_sha256(dict(a=grid.T.contiguous()))
    assert content_sha256([torch.tensor(1.0).bfloat16(), torch.zeros(0, 3)]) is not None
    values = [
        *(0, 0.0, -0.0, False, None, '', b'', (), [], {}, '0', 1, True, 1.0, 'None', 2**70, '\udc80', float('nan')),
        *([1, 2], [[1], 2], [1, [2]], (1, 2), ['1', 2], ['12'], dict(a=1, b=2), dict(b=2, a=1), dict(a=[1, 'b', 2])),
        *(grid, grid.T, grid.reshape(4, 3), grid.double(), grid.view(torch.int32), grid + 1, grid[:0], grid[0, 0]),
        *(grid.bfloat16(), grid.half(), grid.bool(), grid.to(torch.complex64)),
    ]
    assert len({content_sha256(value) for value in values}) == len(values)
    assert weights_sha256(dict(a=grid, b=grid[0])) == weights_sha256(dict(b=grid[0], a=grid))


def test_a_folder_is_checked_by_us_and_by_sha256sum(tmp_path):
    assert not check_sums(tmp_path)
    (tmp_path / 'a.json').write_text('{}')
    (tmp_path / 'b.txt').write_text('word')
    write_sums(tmp_path, {'b.txt': read_sha256(tmp_path / 'b.txt')})
    assert check_sums(tmp_path)
    subprocess.run(['sha256sum', '-c', '--strict', 'SHA256SUMS'], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / 'notes.md').write_text('read by nobody')
    assert check_sums(tmp_path)
    (tmp_path / 'added.json').write_text('{}')
    with pytest.raises(BrokenCheckpointError, match=r'added.json is not listed in SHA256SUMS: take it away'):
        check_sums(tmp_path)
    (tmp_path / 'added.json').unlink()
    (tmp_path / 'b.txt').write_text('ward')
    with pytest.raises(BrokenCheckpointError, match=r'b.txt is damaged or was changed: SHA256SUMS has another one'):
        check_sums(tmp_path)
    (tmp_path / 'b.txt').unlink()
    with pytest.raises(BrokenCheckpointError, match=r'b.txt is missing, which SHA256SUMS lists; copy the folder anew'):
        check_sums(tmp_path)
    (tmp_path / 'SHA256SUMS').write_text('0123  a.json\n')
    with pytest.raises(BrokenCheckpointError, match='SHA256SUMS is damaged; copy the folder anew, or export'):
        check_sums(tmp_path)
