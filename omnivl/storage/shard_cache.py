"""Shards of the web and of object stores on the local disk: whole ones, as many as fit, for all processes."""

import contextlib
import errno
import os
import random
import threading
import time
import urllib.error
import zlib
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import urlsplit

from mmengine.logging import print_log

from .lock import wait_for_lock
from .tar_shards import Member, ShardError, read_member
from .urls import open_url

CHUNK = 1 << 20
ATTEMPTS = 4
BACK_OFF = 1.0  # seconds before the second attempt, about; twice as many before each one after it
FAILED_SECONDS = 300.0  # so long a shard that could not be fetched is not asked for again
LOCKS = 64  # files for locks: two shards that share one are fetched one after the other
STALE_SECONDS = 86400.0  # a part that nobody went on with
_MANY_EVICTIONS = 10  # in a row, between a shard's arrival and its reading


class ShardCache:
    """A folder with the shards that were used last; processes that need the same shard wait for one to fetch it.

    What a fetch that was broken off has written stays, and the next one goes on behind it.

    Args:
        folder: The folder, on a disk of this machine.
        max_bytes: Size of all shards in it, with those on their way; those not used for longest are removed.
        timeout: Seconds after which an attempt is given up.
    """

    def __init__(self, folder: Path, max_bytes: int, timeout: float) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.timeout = timeout
        self._failed: dict[str, tuple[float, str]] = {}
        self._wanted: SimpleQueue[str] | None = None

    def read(self, member: Member) -> bytes:
        """Read a member of a shard that is a URL; a shard that cannot be fetched is a ShardError."""
        for _ in range(_MANY_EVICTIONS):
            path = self.fetch(member.shard)
            try:
                with open(path, 'rb', buffering=0) as file:
                    return read_member(member, file)
            except FileNotFoundError:  # another process has made room in this moment
                continue
        raise ShardError(f'{member.shard} is removed from {self.folder} at once: give it more remote cache_bytes')

    def fetch_ahead(self, url: str) -> None:
        """Have a shard fetched by a thread, one after the other, while others are used.

        It asks once. Who needs a shard that did not come asks again, and tells what is wrong with it.
        """
        if self._wanted is None:
            self._wanted = SimpleQueue()
            threading.Thread(target=self._fetch_wanted, args=(self._wanted,), daemon=True, name='shards-ahead').start()
        self._wanted.put(url)

    def _fetch_wanted(self, wanted: 'SimpleQueue[str]') -> None:
        while True:
            with contextlib.suppress(Exception):
                self.fetch(wanted.get(), self._fetch)

    def fetch(self, url: str, how: Callable[[str, Path], None] | None = None) -> Path:
        """Return the path of a shard's copy, and fetch it if it is not there; ``how``, if not patiently."""
        number = zlib.crc32(url.encode())
        path = self.folder / f'{number:08x}-{os.path.basename(urlsplit(url).path)}'
        try:
            os.utime(path)  # used now
            return path
        except FileNotFoundError:
            pass
        since, reason = self._failed.get(url, (-FAILED_SECONDS, ''))
        if time.monotonic() - since < FAILED_SECONDS:
            raise ShardError(reason)
        with wait_for_lock(self.folder / f'.lock-{number % LOCKS}'):
            if not path.is_file():
                (how or self._fetch_patiently)(url, path)
        return path

    def _fetch_patiently(self, url: str, path: Path) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._fetch(url, path)
                return
            except ImportError:
                raise
            except Exception as error:  # clients of storage have errors of their own
                if attempt == ATTEMPTS or _is_final(error):
                    said = str(error).strip().split('\n')[0] or type(error).__name__
                    reason = f'shard {url} cannot be fetched ({attempt} attempts): {said}'
                    self._failed[url] = time.monotonic(), reason
                    print_log(f'{reason}; its samples are broken files', 'current', 30)
                    raise ShardError(reason) from error
                # Many processes of many machines that meet the same trouble must not come back together.
                time.sleep(BACK_OFF * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))

    def _fetch(self, url: str, path: Path) -> None:
        begun = sorted(self.folder.glob(f'{path.name}.*.part'))
        start, done = time.monotonic(), begun[0].stat().st_size if begun else 0
        stream, done, size = open_url(url, self.timeout, done)
        with stream:
            part = path.with_name(f'{path.name}.{size or 0}.part')
            for other in begun:
                if other != part:
                    other.unlink(missing_ok=True)  # the shard has another size now
            self._make_room(url, part, size or 0)
            with open(part, 'ab' if done else 'wb') as file:
                read = getattr(stream, 'read1', stream.read)  # read() would wait for a server that is slow
                while data := read(CHUNK):
                    file.write(data)
                    done += len(data)
                    if time.monotonic() - start > self.timeout:
                        raise ShardError(f'{done} bytes were there after {self.timeout:g} s (remote timeout)')
                file.flush()
                os.fsync(file.fileno())
        if size is not None and done != size:
            raise ShardError(f'only {done} of {size} bytes came')
        os.replace(part, path)

    def _make_room(self, url: str, part: Path, size: int) -> None:
        """Remove the shards not used for longest until one of so many bytes fits, and take its place."""
        if size > self.max_bytes:
            raise _TooLargeError(f'{url} has {size} bytes, more than remote cache_bytes={self.max_bytes}')
        with wait_for_lock(self.folder / '.lock-room'):
            found = {path: path.stat() for path in self.folder.iterdir() if not path.name.startswith('.lock')}
            for path, status in list(found.items()):
                if path.suffix == '.part' and time.time() - status.st_mtime > STALE_SECONDS and path != part:
                    path.unlink(missing_ok=True)
                    del found[path]
            # A part takes the room of the whole.
            sizes = {path: _final_size(path) or found[path].st_size for path in found if path != part}
            needed = sum(sizes.values()) + size
            for path in sorted(sizes, key=lambda path: found[path].st_mtime):
                if needed > self.max_bytes and path.suffix != '.part':
                    path.unlink(missing_ok=True)
                    needed -= sizes[path]
            part.touch()


class _TooLargeError(ShardError):
    """A shard that the cache can never hold."""


def _final_size(path: Path) -> int:
    return int(path.suffixes[-2][1:]) if path.suffix == '.part' else 0


def _is_final(error: Exception) -> bool:
    """Tell what another attempt cannot change: what is not there, or not to be read."""
    if isinstance(error, urllib.error.HTTPError):
        return 400 <= error.code < 500 and error.code not in (408, 429)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return isinstance(error, FileNotFoundError | PermissionError | _TooLargeError)
