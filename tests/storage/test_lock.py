"""The lock of a folder: it keeps others out, and nothing that dies leaves it behind."""

import contextlib
import errno
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omnivl.errors import OmniVLRuntimeError
from omnivl.storage import lock
from omnivl.storage.lock import lock_folder


@contextlib.contextmanager
def holder_of(folder: Path, inside: Callable[[], object] = lambda: None) -> Iterator[int]:
    """Hold the lock in another process, which waits to be killed; yield its number."""
    ready, say_ready = os.pipe()
    process = os.fork()
    if process == 0:
        with lock_folder(folder):
            inside()
            os.write(say_ready, b'.')
            signal.pause()
        os._exit(0)
    os.read(ready, 1)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def test_a_folder_in_use_is_refused_and_free_again_after_a_kill(tmp_path):
    with holder_of(tmp_path) as process:
        message = rf'{tmp_path} is in use by another run: process {process} on {socket.gethostname()}, since 20.*\(.*\)'
        with pytest.raises(OmniVLRuntimeError, match=message + r'\. Wait until .* choose another .* --work-dir$'):
            lock_folder(tmp_path).__enter__()
        kill(process)
        assert 'process' in (tmp_path / '.lock').read_text()  # left behind, and no hindrance
        with lock_folder(tmp_path):
            assert json.loads((tmp_path / '.lock').read_text())['process'] == os.getpid()
    assert (tmp_path / '.lock').read_text() == ''


def test_workers_that_outlive_their_run_do_not_hold_its_lock(tmp_path):
    orphans = tmp_path / 'orphan'

    def start_worker() -> None:
        if (worker := os.fork()) == 0:
            signal.pause()
        orphans.write_text(str(worker))

    with holder_of(tmp_path, start_worker) as process:
        kill(process)
        try:
            with lock_folder(tmp_path):
                os.kill(int(orphans.read_text()), 0)  # it is still there
        finally:
            os.kill(int(orphans.read_text()), signal.SIGKILL)


def test_a_process_does_not_stand_in_its_own_way(tmp_path):
    with lock_folder(tmp_path):
        with lock_folder(tmp_path / '.' / ''):
            pass
        assert json.loads((tmp_path / '.lock').read_text())['process'] == os.getpid()


def no_locks(file: object, operation: int) -> None:
    raise OSError(errno.ENOLCK, 'No locks available')


@pytest.mark.parametrize('without', ['the module', 'locks on this file system'])
def test_without_locks_the_file_decides(tmp_path, monkeypatch, without):
    if without == 'the module':
        monkeypatch.setattr(lock, 'fcntl', None)
    else:
        monkeypatch.setattr(lock.fcntl, 'lockf', no_locks)
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)

    def write(**holder: object) -> None:
        (tmp_path / '.lock').write_text(json.dumps(holder))

    here = socket.gethostname()
    for host, process in ((here, os.getppid()), ('elsewhere', dead)):
        write(host=host, process=process)
        refusal = rf'process {process} on {host}, .*If that process is gone, delete {tmp_path}/\.lock$'
        with pytest.raises(OmniVLRuntimeError, match=refusal):
            lock_folder(tmp_path).__enter__()
    write(host=here, process=dead)
    for left in ((tmp_path / '.lock').read_text(), '', '{"host": "els', '[]'):
        (tmp_path / '.lock').write_text(left)
        with lock_folder(tmp_path):
            assert json.loads((tmp_path / '.lock').read_text())['process'] == os.getpid()


def test_another_failure_of_the_kernel_is_not_taken_for_a_lock(tmp_path, monkeypatch):
    def broken(file: object, operation: int) -> None:
        raise OSError(errno.EIO, 'Input/output error')

    monkeypatch.setattr(lock.fcntl, 'lockf', broken)
    with pytest.raises(OSError, match='Input/output'):
        lock_folder(tmp_path).__enter__()
