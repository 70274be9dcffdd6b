"""Shards of servers: fetched once for all processes, within a size, retried, and then named in one line."""

import contextlib
import multiprocessing
import os
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from shard_toys import number_of, write_set
from torch.utils.data import DataLoader

from omnivl.datasets import EpochSampler, MixedDataset, PairDataset
from omnivl.datasets.annotations import ShardIndex
from omnivl.datasets.broken import SkippedItem
from omnivl.datasets.errors import BrokenVisualError
from omnivl.storage import shard_cache
from omnivl.storage.shard_cache import ShardCache
from omnivl.storage.shard_index import IndexOfShards
from omnivl.storage.tar_shards import ShardError

TIMEOUT = 5.0


class Handler(BaseHTTPRequestHandler):
    """Serves a folder; the first part of the path names a trouble."""

    def do_GET(self):
        trouble, _, name = self.path.lstrip('/').partition('/')
        server = self.server
        server.asked[self.path] += 1
        server.ranges.append(self.headers.get('Range'))
        content = (server.folder / name).read_bytes() if (server.folder / name).is_file() else None
        if content is None:
            return self.send_error(404)
        if trouble == 'down' or (trouble == 'flaky' and server.asked[self.path] < 3):
            return self.send_error(503)
        begin = 0
        if (given := self.headers.get('Range')) and trouble != 'noranges':
            begin, last = given.removeprefix('bytes=').split('-')
            begin, content = int(begin), content[: int(last) + 1] if last else content
        self.send_response(206 if begin or 'x-amz-date' in self.headers else 200)
        self.send_header('Content-Length', str(len(content) - begin))
        for name, value in (('ETag', '"1"'), ('Last-Modified', 'Mon, 30 Nov 2026 10:00:00 GMT')):  # S3 has them
            self.send_header(name, value)
        self.end_headers()
        end = begin if self.command == 'HEAD' else len(content)
        if trouble in ('cut', 'noranges') and server.asked[self.path] < 3:
            end = begin + 3000  # the connection breaks
        for start in range(begin, end, 512) if trouble == 'slow' else ():
            self.wfile.write(content[start : start + 512])
            time.sleep(0.02)
        if trouble != 'slow':
            self.wfile.write(content[begin:end])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass

    def handle(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            super().handle()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(shard_cache, 'BACK_OFF', 0.01)
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads, server.asked, server.ranges = True, Counter(), []
    server.folder = tmp_path / 'served'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f'http://127.0.0.1:{server.server_port}'
    yield server
    server.shutdown()
    server.server_close()


def pairs(index, root, cache, **options):
    remote = dict(cache=str(cache), timeout=TIMEOUT) | options.pop('remote', {})
    return PairDataset(
        annotations=ShardIndex(str(index), visual_root=root),
        pipeline=[dict(type='LoadImage', remote=remote), dict(type='PackSample')],
        name='toy',
        **options,
    )


def shards_in(cache):
    return sorted(path.name.partition('-')[2] for path in cache.glob('*.tar'))


@pytest.mark.parametrize(('trouble', 'attempts'), [('fine', 1), ('flaky', 3), ('cut', 3), ('noranges', 3), ('slow', 1)])
def test_a_shard_is_fetched_once_whatever_the_server_does(server, tmp_path, trouble, attempts):
    index = write_set(server.folder, [6, 2])
    dataset = pairs(index, f'{server.url}/{trouble}', tmp_path / 'cache')
    assert [number_of(dataset[number]) for number in range(8)] == list(range(8))
    assert set(server.asked.values()) == {attempts}
    assert shards_in(tmp_path / 'cache') == ['00000.tar', '00001.tar'] and not list((tmp_path / 'cache').glob('*.part'))
    if trouble == 'cut':  # each attempt goes on behind the one before
        assert server.ranges[:3] == [None, 'bytes=3000-', 'bytes=6000-']
    again = pairs(index, f'{server.url}/{trouble}', tmp_path / 'cache')
    assert number_of(again[7]) == 7 and set(server.asked.values()) == {attempts}


def test_a_shard_that_cannot_be_fetched_is_named_once_and_its_samples_are_broken(server, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(shard_cache, 'print_log', lambda message, *_: lines.append(message))
    index = write_set(server.folder, [2, 3])
    (server.folder / '00001.tar').rename(server.folder / 'away')
    for trouble, attempts, said in (('down', 4, 'Service Unavailable'), ('fine', 1, 'Not Found')):
        dataset = pairs(index, f'{server.url}/{trouble}', tmp_path / 'cache', broken='skip')
        if trouble == 'down':
            (server.folder / 'away').rename(server.folder / '00001.tar')
        else:
            (server.folder / '00001.tar').unlink()
        items = [dataset[number] for number in range(2, 5)]
        url = f'{server.url}/{trouble}/00001.tar'
        for item in items:
            assert isinstance(item, SkippedItem)
            assert item.broken.reason.startswith(f'shard {url} cannot be fetched ({attempts} attempts): HTTP Error')
            assert item.broken.reason.endswith(said)
        assert server.asked[f'/{trouble}/00001.tar'] == attempts
        assert [line for line in lines if url in line] == [f'{items[0].broken.reason}; its samples are broken files']
    assert number_of(dataset[1]) == 1  # the others are there


def test_a_server_that_is_too_slow_is_given_up_and_gone_on_with(server, tmp_path):
    index = write_set(server.folder, [6])
    cache = ShardCache(tmp_path / 'cache', 1 << 20, timeout=0.4)
    (path,) = {cache.fetch(f'{server.url}/slow/00000.tar') for _ in range(2)}
    assert path.read_bytes() == (server.folder / '00000.tar').read_bytes()
    ranges = [0 if one is None else int(one[6:-1]) for one in server.ranges]
    assert len(ranges) > 1 and ranges == sorted(set(ranges))
    assert len(IndexOfShards(index)) == 6
    slower = ShardCache(tmp_path / 'other', 1 << 20, timeout=0.1)
    with pytest.raises(ShardError, match=r'4 attempts\): (\d+ bytes were there after 0.1 s|timed out)'):
        slower.fetch(f'{server.url}/slow/00000.tar')


def test_the_cache_keeps_the_shards_that_were_used_last(server, tmp_path):
    index = write_set(server.folder, [3, 3, 3])
    size = (server.folder / '00000.tar').stat().st_size
    cache = tmp_path / 'cache'
    dataset = pairs(index, f'{server.url}/fine', cache, remote=dict(cache_bytes=2 * size))
    for number in (0, 3, 1):
        assert number_of(dataset[number]) == number
        time.sleep(0.02)
    assert number_of(dataset[6]) == 6 and shards_in(cache) == ['00000.tar', '00002.tar']
    assert number_of(dataset[4]) == 4 and len(shards_in(cache)) == 2
    assert sum(path.stat().st_size for path in cache.iterdir()) <= 2 * size
    small = pairs(index, f'{server.url}/fine', tmp_path / 'small', remote=dict(cache_bytes=size - 1))
    with pytest.raises(BrokenVisualError, match=rf'has {size} bytes, more than remote cache_bytes={size - 1}'):
        small[0]


def test_a_part_that_nobody_went_on_with_gives_its_room_back(server, tmp_path):
    write_set(server.folder, [3])
    size, cache = (server.folder / '00000.tar').stat().st_size, tmp_path / 'cache'
    cache.mkdir()
    (cache / f'0-b.tar.{size}.part').write_bytes(b'1')
    (cache / '0-c.tar').write_bytes(bytes(size // 2))
    shard_cache_of = ShardCache(cache, size + size // 2, TIMEOUT)
    shard_cache_of.fetch(f'{server.url}/fine/00000.tar')
    assert shards_in(cache) == ['00000.tar'] and len(list(cache.glob('*.part'))) == 1  # it may still be coming
    old = time.time() - shard_cache.STALE_SECONDS - 1
    os.utime(next(cache.glob('*.part')), (old, old))
    shard_cache_of.fetch(f'{server.url}/other/00000.tar')
    assert not list(cache.glob('*.part'))


def _read_all(index, root, cache, results):
    dataset = pairs(index, root, cache)
    results.put([number_of(dataset[number]) for number in np.random.default_rng(0).permutation(8).tolist()])


def test_processes_share_what_one_of_them_has_fetched(server, tmp_path):
    index = write_set(server.folder, [4, 4])
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    arguments = (index, f'{server.url}/slow', tmp_path / 'cache', results)
    processes = [context.Process(target=_read_all, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert found == [np.random.default_rng(0).permutation(8).tolist()] * 3
    assert set(server.asked.values()) == {1} and len(server.asked) == 2


@pytest.mark.parametrize(('ahead', 'there'), [(None, 3), (1, 2), (0, 1)])
def test_the_next_shards_of_the_order_are_fetched_while_one_is_used(server, tmp_path, ahead, there):
    index = write_set(server.folder, [2] * 4)
    dataset = MixedDataset([pairs(index, f'{server.url}/slow', tmp_path / 'cache')])
    sampler = EpochSampler(dataset, 1, window=2, ahead=ahead)
    order = [int(key.index) // 2 for key in EpochSampler(dataset, 1, window=2, ahead=0)]
    keys = iter(sampler)
    dataset[next(keys)]
    expected = sorted(f'{shard:05d}.tar' for shard in list(dict.fromkeys(order))[:there])
    deadline = time.monotonic() + 20
    while shards_in(tmp_path / 'cache') != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)  # no more come
    assert shards_in(tmp_path / 'cache') == expected
    assert [int(key.index) // 2 for key in keys] == order[1:]


@pytest.mark.parametrize('workers', [0, 2])
def test_a_shard_that_fails_holds_up_nobody_who_waits_for_the_next(server, tmp_path, workers):
    """Two epochs, so that workers are forked while shards are fetched."""
    index = write_set(server.folder, [2] * 4)
    (server.folder / '00002.tar').unlink()
    dataset = pairs(index, f'{server.url}/slow', tmp_path / 'cache', broken='skip')
    sampler = EpochSampler(dataset, 1, window=1, ahead=2)
    loader = DataLoader(dataset, 1, sampler=sampler, num_workers=workers, collate_fn=list)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        items = [item for batch in loader for item in batch]
        found = [number_of(item) for item in items if not isinstance(item, SkippedItem)]
        assert sorted(found) == [0, 1, 2, 3, 6, 7] and len(items) == 8
    assert all(count == 1 for path, count in server.asked.items() if not path.endswith('2.tar'))


def test_remote_shards_are_off_unless_allowed(server, tmp_path):
    index = write_set(server.folder, [1])
    reader = ShardIndex(str(index), visual_root=f'{server.url}/fine')
    dataset = PairDataset(annotations=reader, pipeline=[dict(type='LoadImage')], name='toy')
    with pytest.raises(
        BrokenVisualError, match=r'URLs from annotation files are not fetched; allow them with LoadImage'
    ):
        dataset[0]
    index = write_set(server.folder, [1])
    with pytest.raises(BrokenVisualError, match='may name URLs of http, https, abfs'):
        pairs(index, f'file://{server.folder}', tmp_path / 'cache')[0]
    assert not server.asked


def test_shards_of_storage_that_fsspec_knows(tmp_path):
    fsspec = pytest.importorskip('fsspec')
    write_set(tmp_path / 'set', [2, 2])
    for name in ('00000.tar', '00001.tar'):
        fsspec.filesystem('memory').pipe_file(f'/bucket/{name}', (tmp_path / 'set' / name).read_bytes())
    dataset = pairs(tmp_path / 'set' / 'index.npz', 'memory://bucket', tmp_path / 'cache')
    assert [number_of(dataset[number]) for number in range(4)] == list(range(4))
    fsspec.filesystem('memory').rm('/bucket/00000.tar')
    gone = pairs(tmp_path / 'set' / 'index.npz', 'memory://bucket', tmp_path / 'empty', broken='skip')
    assert 'shard memory://bucket/00000.tar cannot be fetched (1 attempts)' in gone[0].broken.reason


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of an S3-compatible server on this machine."""
    moto = pytest.importorskip('moto.server', reason='needs moto[server]')
    s3fs = pytest.importorskip('s3fs', reason='needs s3fs')
    server = moto.ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in dict(
        AWS_ACCESS_KEY_ID='test', AWS_SECRET_ACCESS_KEY='test', AWS_DEFAULT_REGION='us-east-1',
        AWS_ENDPOINT_URL=f'http://{host}:{port}', no_proxy='127.0.0.1',
    ).items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.makedirs('shards', exist_ok=True)
    yield system
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.parametrize(('trouble', 'said'), [('flaky', ''), ('slow', ''), ('down', 'Service Unavailable')])
def test_an_s3_compatible_server_that_is_slow_or_fails(server, tmp_path, monkeypatch, trouble, said):
    """The bucket is the trouble."""
    s3fs = pytest.importorskip('s3fs', reason='needs s3fs')
    for name, value in dict(
        AWS_ACCESS_KEY_ID='test', AWS_SECRET_ACCESS_KEY='test', AWS_ENDPOINT_URL=server.url, AWS_MAX_ATTEMPTS='1'
    ).items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    index = write_set(server.folder, [2])
    dataset = pairs(index, f's3://{trouble}', tmp_path / 'cache', broken='skip')
    items = [dataset[number] for number in range(2)]
    s3fs.S3FileSystem.clear_instance_cache()
    asked = server.asked[f'/{trouble}/00000.tar']
    if said:
        reason = f's3://{trouble}/00000.tar cannot be fetched (4 attempts): '
        assert all(reason in item.broken.reason and said in item.broken.reason for item in items) and asked >= 4
    else:
        assert [number_of(item) for item in items] == [0, 1] and shards_in(tmp_path / 'cache') == ['00000.tar']
        assert asked >= (4 if trouble == 'flaky' else 2)  # its size, and its bytes; two failures before them


@pytest.mark.parametrize('workers', [0, 2])
def test_shards_of_an_s3_compatible_server(bucket, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(shard_cache, 'BACK_OFF', 0.01)
    index = write_set(tmp_path / 'set', [2, 3])
    for name in ('00000.tar', '00001.tar'):
        bucket.put_file(str(tmp_path / 'set' / name), f'shards/a b/{name}')
    dataset = pairs(index, 's3://shards/a b', tmp_path / 'cache', broken='skip')
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    assert [number_of(item) for item in loader] == list(range(5))
    bucket.rm('shards/a b/00001.tar')
    gone = DataLoader(pairs(index, 's3://shards/a b', tmp_path / 'new', broken='skip'), None, num_workers=workers)
    *there, _, _, last = gone
    assert [number_of(item) for item in there] == [0, 1]
    assert last.broken.reason.startswith('shard s3://shards/a b/00001.tar cannot be fetched (1 attempts): ')
