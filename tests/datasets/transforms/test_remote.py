"""URLs in the place of files: off for annotations unless allowed, and within limits."""

import contextlib
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from omnivl.datasets import PairDataset
from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.transforms import LoadImage, LoadVideo
from omnivl.datasets.transforms.remote import Fetching, local_file

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)


def png():
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, 'PNG')
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Serves one picture under several names, each with a trouble of its own."""

    def do_GET(self):
        name, content = self.path.lstrip('/').split('.')[0], png()
        if name == 'none':
            self.send_error(404)
            return
        if name in ('away', 'outside', 'ftp'):
            self.send_response(302)
            target = dict(away='/%C3%A4%20b.png', outside='file:///etc/passwd', ftp='ftp://127.0.0.1/a.png')
            self.send_header('Location', target[name])
            self.end_headers()
            return
        self.send_response(200)
        if name != 'unannounced':
            self.send_header('Content-Length', str(len(content) + (5 if name == 'cut' else 0)))
        self.end_headers()
        for byte in content if name == 'slow' else ():
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)
        if name != 'slow':
            self.wfile.write(b'no picture'.ljust(len(content)) if name == 'text' else content)

    def log_message(self, *_):
        pass

    def handle(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it was given up
            super().handle()


@pytest.fixture(scope='module')
def server():
    """The address of a server on this machine."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')


@pytest.mark.parametrize('loader', [LoadImage(), LoadVideo(num_frames=1)])
def test_urls_of_annotations_are_off(server, loader):
    kind = type(loader).__name__
    message = rf'a.png: URLs from annotation files are not fetched; allow them with {kind}\(remote=True\)'
    with pytest.raises(BrokenVisualError, match=message):
        loader(dict(visual=f'{server}/a.png'))


@pytest.mark.parametrize('name', ['a.png', 'away.png', 'ä b.png', 'unannounced.png'])
def test_urls_are_fetched_where_they_are_allowed(server, name, tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    results = LoadImage(remote=True)(dict(visual=f'{server}/{name}'))
    assert np.array_equal(results['frames'][0], PIXELS) and results['visual'] == f'{server}/{name}'
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('name', 'remote', 'reason'),
    [
        ('none.png', True, 'it cannot be fetched: HTTP Error 404: Not Found'),
        ('cut.png', True, r'only \d+ of \d+ bytes came'),
        ('text.png', True, 'it cannot be read as an image: cannot identify image file'),
        ('outside.png', True, 'it cannot be fetched: .*not allowed'),
        ('ftp.png', True, 'it cannot be fetched: .*unknown url type: ftp'),
        ('a.png', dict(max_bytes=100), r'it is larger than 100 bytes \(remote max_bytes\)'),
        ('unannounced.png', dict(max_bytes=100), r'it is larger than 100 bytes \(remote max_bytes\)'),
        ('slow.png', dict(timeout=0.1), r'it was not there after 0.1 s \(remote timeout\)'),
    ],
)
def test_what_cannot_be_fetched_is_a_broken_file_of_its_url(server, name, remote, reason):
    with pytest.raises(BrokenVisualError, match=reason) as caught:
        LoadImage(remote=remote)(dict(visual=f'{server}/{name}'))
    assert caught.value.path == f'{server}/{name}'


def test_storage_that_fsspec_knows():
    fsspec = pytest.importorskip('fsspec')
    fsspec.filesystem('memory').pipe_file('/remote/a.png', png())
    results = LoadImage(remote=True)(dict(visual='memory://remote/a.png'))
    assert np.array_equal(results['frames'][0], PIXELS)
    with pytest.raises(BrokenVisualError, match='larger than 100 bytes'):
        LoadImage(remote=dict(max_bytes=100))(dict(visual='memory://remote/a.png'))


@pytest.mark.parametrize(
    'url',
    ['file://{}', 'FILE://{}', 'local://{}', 'simplecache::file://{}', 'simplecache://::file://{}', 'zip://a::{}://',
     'dir://{}', 'git://{}', 'http://x/a.png::file://{}', 'ssh://host/{}', 'data:image/png;base64,://{}'],
)  # fmt: skip
def test_annotations_reach_no_local_files(url, tmp_path):
    (tmp_path / 'a.png').write_bytes(png())
    with pytest.raises(
        BrokenVisualError, match=r'an annotation file may name URLs of http, https, .* only, without ::'
    ):
        LoadImage(remote=True)(dict(visual=url.format(tmp_path / 'a.png')))


def test_a_person_may_name_local_files_as_urls(tmp_path):
    pytest.importorskip('fsspec')
    (tmp_path / 'a.png').write_bytes(png())
    for url in (f'file://{tmp_path}/a.png', f'simplecache::file://{tmp_path}/a.png'):
        with local_file(url, Fetching(any_scheme=True)) as path, open(path, 'rb') as file:
            assert file.read() == png()


@pytest.mark.parametrize('remote', [1, 'yes', dict(timeout=0), dict(max_bytes='1'), dict(size=3)])
def test_what_remote_may_be(remote):
    with pytest.raises(ValueError, match=r'LoadImage: remote must be True, False or dict\(max_bytes=..., timeout=...'):
        LoadImage(remote=remote)


def test_a_dataset_of_urls(server, tmp_path):
    rows = [dict(image=f'{server}/a.png', caption='a cat')]
    (tmp_path / 'list.json').write_text(json.dumps(rows))
    reader = dict(type='BLIPCaptionJSON', ann_file=str(tmp_path / 'list.json'), visual_root=str(tmp_path))
    with pytest.raises(BrokenVisualError, match=r"URLs from annotation files are not fetched.*dataset 'web', item 0"):
        PairDataset(reader, [dict(type='LoadImage')], 'web')[0]
    item = PairDataset(reader, [dict(type='LoadImage', remote=True)], 'web')[0]
    assert np.array_equal(item['frames'][0], PIXELS)
