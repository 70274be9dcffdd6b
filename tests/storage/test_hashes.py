"""Checksums of files."""

import hashlib
import os

from omnivl.storage import file_sha256, folder_sha256


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
