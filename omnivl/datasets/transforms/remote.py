"""URLs and members of shards as local files for decoders; URLs within limits, and off where annotations name them."""

import contextlib
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLValueError
from omnivl.places import cache_root
from omnivl.storage.shard_cache import ShardCache
from omnivl.storage.tar_shards import ShardError, member_of, opened_shard, read_member, shard_of
from omnivl.storage.urls import STORAGE, WEB, open_url, scheme_of
from omnivl.structures.modality import suffix_of

from .base import Transform
from .chatter import named_as
from .decoders import reported_as_broken

CHUNK = 1 << 20


@dataclass(frozen=True)
class Fetching:
    """Limits of what is fetched.

    Attributes:
        max_bytes: Size of the largest file.
        timeout: Seconds after which a file that is not there yet is given up.
        any_scheme: Whether URLs may be of any kind that fsspec knows, local files and chains
            (``zip://...::https://...``) among them: where a person, and no file, names them.
        cache: Folder of the shards that were fetched; None = that of ``OMNIVL_CACHE``.
        cache_bytes: Size of all shards in it.
    """

    max_bytes: int = 4 << 30
    timeout: float = 120.0
    any_scheme: bool = False
    cache: str | None = None
    cache_bytes: int = 64 << 30


class VisualLoader(Transform):
    """Base of what loads visuals; ``remote`` says whether annotations may name URLs, and their limits."""

    remote: bool | dict[str, Any] = False

    def fetch_ahead(self, url: str) -> None:
        """Have the shard that a visual lies in fetched while others are used, if it is on a server and may be."""
        shard = shard_of(url)
        with contextlib.suppress(BrokenVisualError):  # of which the sample tells
            if '://' in shard:
                limits = _limits(url, self.remote, type(self).__name__)
                _check_scheme(url, shard, limits)
                _cache(limits).fetch_ahead(shard)


def check_remote(remote: bool | dict[str, Any], transform: str) -> bool | dict[str, Any]:
    """Return the argument ``remote`` of a loader, whose name is for the message, if it is one that is allowed."""
    options = dict(remote) if isinstance(remote, dict) else {}
    cache = options.pop('cache', None)
    known = not set(options) - {'max_bytes', 'timeout', 'cache_bytes'} and isinstance(cache, str | None)
    if (
        isinstance(remote, bool | dict)
        and known
        and all(isinstance(one, int | float) and one > 0 for one in options.values())
    ):
        return remote
    raise OmniVLValueError(
        f'{transform}: remote must be True, False or dict(max_bytes=..., timeout=..., cache=..., cache_bytes=...), '
        f'positive numbers and a folder, got {remote!r}'
    )


def fetched(transform: Callable[[Any, dict[str, Any]], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Let a loader find a local copy under ``visual`` where an annotation has a URL, if its ``remote`` allows that.

    One that says ``takes_content`` gets the bytes of a member of a shard under ``content``, and no copy.
    """

    @functools.wraps(transform)
    def with_copy(self: Any, results: dict[str, Any]) -> dict[str, Any]:
        """Load from the copy; the results keep the URL."""
        url = str(results.get('visual', ''))
        if '://' not in url:
            return transform(self, results)
        if getattr(self, 'takes_content', False) and member_of(url) is not None:
            return transform(self, {**results, 'content': read_content(url, self.remote, type(self).__name__)})
        with local_copy(url, self.remote, type(self).__name__) as path:
            return {**transform(self, {**results, 'visual': path}), 'visual': url}

    return with_copy


@contextmanager
def local_copy(url: str, remote: bool | dict[str, Any], transform: str) -> Iterator[str]:
    """Give a path for what an annotation names: a path, a member, or a URL if the transform's ``remote`` allows it."""
    with local_file(url, _limits(url, remote, transform)) as path:
        yield path


def read_content(url: str, remote: bool | dict[str, Any], transform: str) -> bytes:
    """Read a member of a shard that an annotation names, into memory."""
    return _read(url, _limits(url, remote, transform))


def _limits(url: str, remote: bool | dict[str, Any], transform: str) -> Fetching:
    if '://' in (shard_of(url) or url) and remote is False:
        reason = f'URLs from annotation files are not fetched; allow them with {transform}(remote=True)'
        raise BrokenVisualError(url, reason)
    return Fetching(**(remote if isinstance(remote, dict) else {}))


@contextmanager
def local_file(path: str, limits: Fetching) -> Iterator[str]:
    """Give a path that decoders can open: local ones as they are, URLs and members of shards as a temporary copy.

    A URL that cannot be fetched, or not within the limits, is a ``BrokenVisualError``; what is broken inside the copy
    is one of the URL.
    """
    if '://' not in path:
        yield path
        return
    try:
        with (
            _fetched(path, limits) if member_of(path) is None else _in_memory(_read(path, limits)) as copy,
            named_as(copy, path),
        ):
            yield copy
    except BrokenVisualError as error:
        raise BrokenVisualError(path, error.reason) from error.__cause__


def _check_scheme(path: str, url: str, limits: Fetching) -> None:
    if not limits.any_scheme and (scheme_of(url) not in (*WEB, *STORAGE) or '::' in url):
        kinds = ', '.join((*WEB, *STORAGE))
        raise BrokenVisualError(path, f'an annotation file may name URLs of {kinds} only, without ::')


@contextmanager
def _fetched(url: str, limits: Fetching) -> Iterator[str]:
    _check_scheme(url, url, limits)
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, f'visual{suffix_of(url)}')
        with reported_as_broken(url, 'it cannot be fetched'), _libraries_named(url):
            opened = open_url(url, limits.timeout)
            with opened.stream as source:
                _copy(source, copy, url, limits, opened.size)
        yield copy


@contextmanager
def _libraries_named(url: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        reason = f"its kind of URL needs a library ({error}): pip install -e '.[remote]'"
        raise BrokenVisualError(url, reason) from error


def _read(path: str, limits: Fetching) -> bytes:
    member = member_of(path)
    assert member is not None, 'callers have asked'
    if member.length > limits.max_bytes:
        raise BrokenVisualError(path, f'it is larger than {limits.max_bytes} bytes (remote max_bytes)')
    try:
        if '://' not in member.shard:
            try:
                return read_member(member, opened_shard(member.shard))
            except ShardError:
                opened_shard.cache_clear()  # a disk may have gone and come back, or the shard been put right
                raise
        _check_scheme(path, member.shard, limits)
        with _libraries_named(path):
            return _cache(limits).read(member)
    except ShardError as error:
        raise BrokenVisualError(path, str(error)) from error


def _cache(limits: Fetching) -> ShardCache:
    return _cache_in(limits.cache or str(cache_root() / 'shards'), limits.cache_bytes, limits.timeout)


_cache_in = functools.lru_cache(lambda folder, *limits: ShardCache(Path(folder), *limits))


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """Give bytes a path in this process; a file on a disk only where the system has no such files."""
    if not hasattr(os, 'memfd_create'):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            yield file.name
        return
    handle = os.memfd_create('visual')
    try:
        rest = memoryview(data)
        while rest:  # one call writes 2 GB at most
            rest = rest[os.write(handle, rest) :]
        yield f'/proc/self/fd/{handle}'
    finally:
        os.close(handle)


def _copy(source: BinaryIO, copy: str, path: str, limits: Fetching, announced: int | None) -> None:
    start, size = time.monotonic(), 0
    read = getattr(source, 'read1', source.read)  # read() would wait for a server that sends a byte now and then
    with open(copy, 'wb') as file:
        while size <= limits.max_bytes and (announced or 0) <= limits.max_bytes and (part := read(CHUNK)):
            size += len(part)
            if time.monotonic() - start > limits.timeout:
                raise BrokenVisualError(path, f'it was not there after {limits.timeout} s (remote timeout)')
            file.write(part)
    if max(size, announced or 0) > limits.max_bytes:
        raise BrokenVisualError(path, f'it is larger than {limits.max_bytes} bytes (remote max_bytes)')
    if announced is not None and size != announced:
        raise BrokenVisualError(path, f'only {size} of {announced} bytes came')
