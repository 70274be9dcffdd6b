"""URLs as local files for decoders: fetched within limits, off where the URL comes from an annotation file."""

import functools
import os
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, BinaryIO

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLValueError
from omnivl.structures.modality import suffix_of

from .decoders import reported_as_broken

CHUNK = 1 << 20
WEB = ('http', 'https')
# What an annotation file may name beside the web, where it may name URLs: storage that others serve. Not what reads
# local files (file, dir, git, zip, the caches of fsspec ...), nor what logs in to machines (ssh, smb).
STORAGE = ('abfs', 'az', 'gcs', 'gs', 'hdfs', 'hf', 'memory', 'oss', 's3', 's3a', 'webhdfs')


@dataclass(frozen=True)
class Fetching:
    """Limits of what is fetched.

    Attributes:
        max_bytes: Size of the largest file.
        timeout: Seconds after which a file that is not there yet is given up.
        any_scheme: Whether URLs may be of any kind that fsspec knows, local files and chains
            (``zip://...::https://...``) among them: where a person, and no file, names them.
    """

    max_bytes: int = 4 << 30
    timeout: float = 120.0
    any_scheme: bool = False


def check_remote(remote: bool | dict[str, Any], transform: str) -> bool | dict[str, Any]:
    """Return the argument ``remote`` of a loader, whose name is for the message, if it is one that is allowed."""
    options = remote if isinstance(remote, dict) else {}
    limits = [options.get(name, 1) for name in ('max_bytes', 'timeout')]
    known = not set(options) - {'max_bytes', 'timeout'}
    if isinstance(remote, bool | dict) and known and all(isinstance(one, int | float) and one > 0 for one in limits):
        return remote
    raise OmniVLValueError(
        f'{transform}: remote must be True, False or dict(max_bytes=..., timeout=...), positive numbers, got {remote!r}'
    )


def fetched(transform: Callable[[Any, dict[str, Any]], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Let a loader find a local copy under ``visual`` where an annotation has a URL, if its ``remote`` allows that."""

    @functools.wraps(transform)
    def with_copy(self: Any, results: dict[str, Any]) -> dict[str, Any]:
        """Load from the copy; the results keep the URL."""
        url = str(results.get('visual', ''))
        if '://' not in url:
            return transform(self, results)
        if self.remote is False:
            reason = f'URLs from annotation files are not fetched; allow them with {type(self).__name__}(remote=True)'
            raise BrokenVisualError(url, reason)
        with local_file(url, Fetching(**(self.remote if isinstance(self.remote, dict) else {}))) as path:
            return {**transform(self, {**results, 'visual': path}), 'visual': url}

    return with_copy


@contextmanager
def local_file(path: str, limits: Fetching) -> Iterator[str]:
    """Give a path that decoders can open: local ones as they are, URLs as a temporary copy.

    A URL that cannot be fetched, or not within the limits, is a ``BrokenVisualError``; what is broken inside the copy
    is one of the URL.
    """
    if '://' not in path:
        yield path
        return
    scheme = path.split('://')[0].lower()
    if not limits.any_scheme and (scheme not in (*WEB, *STORAGE) or '::' in path):
        kinds = ', '.join((*WEB, *STORAGE))
        raise BrokenVisualError(path, f'an annotation file may name URLs of {kinds} only, without ::')
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, f'visual{suffix_of(path)}')
        try:
            with reported_as_broken(path, 'it cannot be fetched'), _opened(path, scheme, limits) as source:
                _copy(source, copy, path, limits)
        except BrokenVisualError as error:
            if not isinstance(error.__cause__, ImportError):
                raise
            reason = f"its kind of URL needs a library ({error.__cause__}): pip install -e '.[remote]'"
            raise BrokenVisualError(path, reason) from error
        try:
            yield copy
        except BrokenVisualError as error:
            raise BrokenVisualError(path, error.reason) from error


def _opened(path: str, scheme: str, limits: Fetching) -> Any:
    """Open a URL: the web with Python's own client, all else with fsspec."""
    if scheme in WEB and '::' not in path:
        # Its default opener would follow to ftp:// and open file://.
        opener = urllib.request.OpenerDirector()
        for kind in ('Proxy', 'HTTP', 'HTTPS', 'HTTPRedirect', 'HTTPDefaultError', 'Unknown'):
            opener.add_handler(getattr(urllib.request, f'{kind}Handler')())
        opener.add_handler(urllib.request.HTTPErrorProcessor())
        url = urllib.parse.quote(path, safe="%/:=&?~#+!$,;'@()*[]")  # spaces and letters beyond ASCII
        return opener.open(urllib.request.Request(url, headers={'User-Agent': 'omnivl'}), timeout=limits.timeout)
    import fsspec

    return fsspec.open(path, 'rb')


def _copy(source: BinaryIO, copy: str, path: str, limits: Fetching) -> None:
    start, size = time.monotonic(), 0
    announced = source.length if isinstance(source, HTTPResponse) else None
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
