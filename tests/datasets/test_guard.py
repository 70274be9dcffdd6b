"""Samples that hang or kill their worker: the run goes on, and the sample goes through the policy."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from omnivl.datasets import BrokenVisualError, survival
from omnivl.datasets.broken import BrokenCounter
from omnivl.datasets.guard import deadline
from omnivl.datasets.loaders import build_loader
from omnivl.datasets.survival import MAX_DEATHS, batches_of
from omnivl.engine.streams import LoaderStream
from omnivl.structures import VLDataSample

SIZE = 12


@pytest.fixture(autouse=True)
def _scope():
    """Where a runner looks for components."""
    init_default_scope('omnivl')


class Act:
    """Does what the name of the file says, and packs the draws of the sample."""

    def __call__(self, results):
        path = Path(results['visual'])
        if path.name.startswith('crash'):
            os.kill(os.getpid(), signal.SIGSEGV)
        if path.name.startswith('hang'):
            time.sleep(60)
        if path.name.startswith('once') and not path.with_suffix('.seen').exists():
            path.with_suffix('.seen').touch()
            os.kill(os.getpid(), signal.SIGKILL)
        sample = VLDataSample(metainfo={key: results[key] for key in ('sample_id', 'source', 'visual', 'text')})
        pixels = torch.from_numpy(results['rng'].integers(0, 256, (1, 3, 2, 2), dtype='uint8'))
        return {'inputs': {'image': pixels}, 'pts_seconds': {}, 'data_samples': sample}


@pytest.fixture
def build(tmp_path):
    """A loader of 12 captions; ``names`` says which files are other than good."""

    def _build(names=None, workers=2, quarantine=None, broken='replace', shuffle=True, **options):
        names = names or {}
        rows = [{'image': f'{names.get(n, "good")}{n}.jpg', 'caption': f'number {n}'} for n in range(SIZE)]
        (tmp_path / 'list.json').write_text(json.dumps(rows))
        reader = dict(type='BLIPCaptionJSON', ann_file=str(tmp_path / 'list.json'), visual_root=str(tmp_path))
        dataset = dict(
            type='PairDataset', annotations=reader, pipeline=[Act()], name='toy', broken=broken, max_broken_share=1.0
        )
        config = dict(
            batch_size=4,
            num_workers=workers,
            dataset=dataset | options,
            sampler=dict(type='EpochSampler', shuffle=shuffle),
        )
        return build_loader(config, 'train_dataloader.toy', 0, True, quarantine)

    return _build


def content(batches):
    return [
        ([sample.sample_id for sample in batch['data_samples']], batch['inputs']['image'].tolist()) for batch in batches
    ]


def broken_of(batches):
    counter = BrokenCounter({})
    return [broken for batch in batches for broken in counter.update(batch['data_samples'])]


def test_a_killed_worker_costs_nothing(build):
    expected = content(batches_of(build(workers=0)))
    assert content(batches_of(build({5: 'once'}))) == content(batches_of(build({5: 'once'}, workers=0)))
    assert len(expected) == SIZE // 4


@pytest.mark.parametrize('kind', ['crash', 'hang'])
def test_a_sample_that_kills_its_worker_is_a_broken_file(build, tmp_path, kind):
    quarantine = tmp_path / 'quarantine.txt'
    options = dict(quarantine=quarantine, max_seconds=0.5 if kind == 'hang' else 60)
    batches = list(batches_of(build({5: kind}, **options)))
    found = broken_of(batches)
    reason = 'took more than 0.5 s (max_seconds), 2 times' if kind == 'hang' else 'crashed, 2 times'
    assert {(Path(broken.path).name, broken.reason) for broken in found} == {
        (f'{kind}5.jpg', f'the worker that loaded it {reason}')
    }
    comment, path = quarantine.read_text().splitlines()
    assert comment == f'# toy: the worker that loaded it {reason}' and Path(path).name == f'{kind}5.jpg'
    # A run that begins later does not try it again, and draws the same in its place.
    again = list(batches_of(build({5: kind}, workers=0, **options)))
    assert content(again) == content(batches)
    assert {broken.reason for broken in broken_of(again)} == {f'it is in quarantine, see {quarantine}'}
    # The list is one that bad_files takes.
    assert len(build({5: kind}, bad_files=str(quarantine)).dataset) == SIZE - 1


def test_a_stream_goes_on_over_epochs_and_from_a_written_place(build):
    def stream(names, workers):
        return LoaderStream('toy', build(names, workers=workers), 0)

    names = {5: 'once'}
    whole = stream({}, 0)
    expected = content(next(whole) for _ in range(6))
    first = stream(names, 1)
    found = content(next(first) for _ in range(4))
    state = first.state_dict()
    first.close()
    second = stream(names, 1)
    second.load_state_dict(state)
    os.unlink(second.dataset.reader.visual_root + '/once5.seen')  # its worker dies once more
    found += content(next(second) for _ in range(2))
    second.close()
    assert [pixels for _, pixels in found] == [pixels for _, pixels in expected]


@pytest.mark.parametrize('dies', [True, False])
def test_a_worker_that_dies_while_it_hands_over_a_batch(build, monkeypatch, dies):
    """Its sockets are closed a moment before the system calls it dead; of workers that live it is an error."""
    expected, take, lost = content(batches_of(build(workers=0))), _MultiProcessingDataLoaderIter._next_data, []

    def lose_the_first(iterator):
        if not lost:
            lost.append(iterator)
            if dies:
                threading.Timer(0.3, iterator._workers[0].kill).start()
            raise ConnectionResetError(104, 'Connection reset by peer')
        return take(iterator)

    monkeypatch.setattr(_MultiProcessingDataLoaderIter, '_next_data', lose_the_first)
    monkeypatch.setattr(survival, 'LAST_SECONDS', 5.0 if dies else 0.2)
    if dies:
        assert content(batches_of(build(workers=1))) == expected
    else:
        with pytest.raises(ConnectionResetError):
            next(batches_of(build(workers=1)))


def test_a_worker_that_dies_between_two_epochs(build):
    expected = [content(batches_of(build(workers=0), epoch)) for epoch in range(2)]
    loader = build(workers=2)
    found = [content(batches_of(loader, 0))]
    worker = loader._iterator._workers[0]
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    found.append(content(batches_of(loader, 1)))
    assert found == expected


def test_skip_and_raise(build):
    batches = list(batches_of(build({5: 'crash', 6: 'crash'}, broken='skip')))
    assert sum(len(batch['data_samples']) for batch in batches) == SIZE - 2
    assert sum(batch.get('skipped', {}).get('toy', 0) for batch in batches) == 2
    with pytest.raises(BrokenVisualError, match=r'crash5\.jpg: the worker that loaded it crashed, 2 times \(dataset'):
        list(batches_of(build({5: 'crash'}, broken='raise')))


def test_a_hanging_sample_without_workers(build):
    batches = list(batches_of(build({5: 'hang'}, workers=0, max_seconds=0.2)))
    (broken,) = broken_of(batches)
    assert broken.reason.endswith('took more than 0.2 s (max_seconds of its dataset)')


def test_a_deadline_leaves_the_timer_of_others_alone():
    fired = []
    handler = signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with deadline('a.jpg', 10):
            pass
        while not fired:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, handler)
    with pytest.raises(RuntimeError, match=r'loading a\.jpg took more than 0\.05 s'), deadline('a.jpg', 0.05):
        time.sleep(10)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_death_is_heard_at_the_batch_and_nowhere_else(build):
    expected = content(batches_of(build(workers=0)))
    loader = build(workers=1)
    batches = batches_of(loader)
    found = [next(batches)]
    (worker,) = loader._iterator._workers
    os.kill(worker.pid, signal.SIGKILL)
    end = time.monotonic() + 0.3
    while time.monotonic() < end:  # a step of the model, in the middle of which torch would raise
        time.sleep(0.01)
    assert content([*found, *batches]) == expected


class Dying:
    def __len__(self):
        return 8

    def __getitem__(self, key):
        os._exit(1)


def test_workers_that_die_at_no_sample_end_the_run():
    loader = build_loader(dict(batch_size=4, num_workers=1, dataset=Dying()), 'x', 0, True)
    with pytest.raises(RuntimeError, match=f'died {MAX_DEATHS} times without a batch between, not at a sample .*shm'):
        list(batches_of(loader))


def test_max_seconds_must_be_positive(build):
    with pytest.raises(ValueError, match='max_seconds=0; give the seconds'):
        build(max_seconds=0)
