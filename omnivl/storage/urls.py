"""Opening URLs, at any byte: the web with Python's own client, storage that others serve with fsspec."""

import urllib.error
import urllib.parse
import urllib.request
from typing import BinaryIO, NamedTuple

WEB = ('http', 'https')
# What an annotation file may name beside the web, where it may name URLs: storage that others serve. Not what reads
# local files (file, dir, git, zip, the caches of fsspec ...), nor what logs in to machines (ssh, smb).
STORAGE = ('abfs', 'az', 'gcs', 'gs', 'hdfs', 'hf', 'memory', 'oss', 's3', 's3a', 'webhdfs')


class Opened(NamedTuple):
    """A URL that is being read.

    Attributes:
        stream: Its bytes from ``begin`` on.
        begin: The first of them; 0 where the server cannot begin in the middle.
        size: Size of the whole file in bytes; None = not announced.
    """

    stream: BinaryIO
    begin: int
    size: int | None


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in lower case."""
    return url.split('://')[0].lower()


def open_url(url: str, timeout: float, begin: int = 0) -> Opened:
    """Open a URL, if possible at a byte; a server that says nothing for ``timeout`` seconds is an error."""
    if scheme_of(url) in WEB and '::' not in url:
        return _open_web(url, timeout, begin)
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    size = system.size(path)
    stream = system.open(path, 'rb')
    if begin:
        stream.seek(begin)
    return Opened(stream, begin, size)


def _open_web(url: str, timeout: float, begin: int) -> Opened:
    # Its default opener would follow to ftp:// and open file://.
    opener = urllib.request.OpenerDirector()
    for kind in ('Proxy', 'HTTP', 'HTTPS', 'HTTPRedirect', 'HTTPDefaultError', 'Unknown'):
        opener.add_handler(getattr(urllib.request, f'{kind}Handler')())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    quoted = urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")  # spaces and letters beyond ASCII
    headers = {'User-Agent': 'omnivl'} | ({'Range': f'bytes={begin}-'} if begin else {})
    response = opener.open(urllib.request.Request(quoted, headers=headers), timeout=timeout)
    begin = begin if response.status == 206 else 0  # a server that knows no ranges sends everything
    return Opened(response, begin, None if response.length is None else begin + response.length)
