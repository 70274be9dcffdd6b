"""A training that is asked to stop saves at the end of its step, asks for a restart, and goes on bit for bit."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import toys
from runs import assert_equal, assert_same_run, run_ranks, start_process, train

from omnivl.engine import OmniVLRunner, WholeCheckpointHook, loops, signals
from omnivl.engine.signals import RESTART_CODE, StopRequest
from omnivl.errors import OmniVLRuntimeError
from omnivl.storage import load_checkpoint
from omnivl.storage.lock import lock_folder

SELDOM = dict(logger=dict(interval=1), checkpoint=dict(interval=4, max_keep_ckpts=3))
VALIDATED = dict(
    train_cfg=dict(type='AlternatingTrainLoop', max_iters=10, proportions=dict(image=2, video=1), val_interval=3),
    val_dataloader=dict(image=toys.loader('image', size=4)),
    val_evaluator=dict(image=dict(type='ToyEvaluation')),
    val_cfg=dict(type='EvaluationLoop'),
    default_hooks=dict(SELDOM, checkpoint=dict(interval=4, max_keep_ckpts=3, save_best='image.r1')),
)


def asked_to_stop(work_dir: Path, name: str, at: int, signal_name: str = 'SIGTERM', hook=(), **changes) -> Path:
    """Train until a signal, and return the last checkpoint."""
    hooks = [dict(type='SignalHook', at=at, name=signal_name, **dict(hook))]
    with pytest.raises(SystemExit) as caught:
        train(work_dir, name, **{'default_hooks': SELDOM, 'custom_hooks': hooks, **changes})
    assert caught.value.code == RESTART_CODE == 75
    return Path((work_dir / 'last_checkpoint').read_text())


def validated(work_dir: Path) -> list[dict]:
    """The figures of all validations, in order."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime_ns)
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [{key: row[key] for key in ('step', 'image.r1')} for row in rows if 'image.r1' in row]


# A validation is due after 3, 6 and 10; an epoch ends at 5 and 6.
@pytest.mark.parametrize(('name', 'at'), [('SIGUSR1', 5), *(('SIGTERM', at) for at in (3, 5, 6, 10))])
def test_it_saves_leaves_and_goes_on_as_the_unbroken_run(tmp_path, name, at):
    train(tmp_path / 'whole', f'stop-whole-{name}-{at}', **VALIDATED)
    saved = asked_to_stop(tmp_path / 'parts', f'stop-{name}-{at}', at, name, **VALIDATED)
    assert saved == tmp_path / f'parts/iter_{at}.pth' and load_checkpoint(saved)['train_loop']['iteration'] == at
    assert validated(tmp_path / 'parts') == validated(tmp_path / 'whole')[: (at - 1) // 3]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    train(tmp_path / 'parts', f'stop-{name}-{at}-on', resume=True, **VALIDATED)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)
    assert validated(tmp_path / 'parts') == validated(tmp_path / 'whole')
    best = [sorted(path.name for path in (tmp_path / run).glob('best_*')) for run in ('whole', 'parts')]
    assert best[0] == best[1] and best[0]
    one, two = (load_checkpoint(tmp_path / run / best[0][0])['state_dict'] for run in ('whole', 'parts'))
    assert_equal(one, two, 'best')


def test_what_it_says(tmp_path, capfd):
    saved = asked_to_stop(tmp_path / 'run', 'stop-words', 5)
    error = capfd.readouterr().err
    assert error.count('SIGTERM: saving at the end of the step; send it again to leave at once\n') == 1
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert f'leaving after iteration 5 of 10; saved: {saved}. Go on with the same command and --resume' in log


def test_without_a_checkpoint_hook_it_says_that_nothing_is_saved(tmp_path):
    hooks = [dict(type='SignalHook', at=2, name='SIGTERM')]
    with pytest.raises(SystemExit):
        train(tmp_path / 'run', 'stop-hookless', default_hooks=dict(checkpoint=None), custom_hooks=hooks)
    assert 'saved: nothing, for want of a checkpoint hook' in next((tmp_path / 'run').glob('*/*.log')).read_text()


@pytest.mark.parametrize('interval', [4, 6])  # nothing, or the state before the validation, is saved after 6
def test_a_signal_in_a_validation_is_answered_at_its_end(tmp_path, interval):
    hooks = dict(SELDOM, checkpoint=dict(interval=interval, max_keep_ckpts=3, save_best='image.r1'))
    options = dict(VALIDATED, default_hooks=hooks)
    train(tmp_path / 'whole', f'stop-val-whole-{interval}', **options)
    saved = asked_to_stop(tmp_path / 'parts', f'stop-val-{interval}', -6, **options)
    assert saved.name == 'iter_6.pth' and len(validated(tmp_path / 'parts')) == 2
    train(tmp_path / 'parts', f'stop-val-on-{interval}', resume=True, **options)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)
    assert validated(tmp_path / 'parts') == validated(tmp_path / 'whole')


def test_an_accumulation_under_way_is_finished(tmp_path):
    wrapper = dict(constructor='DecayGroupsConstructor', accumulative_counts=3, optimizer=dict(type='AdamW', lr=0.05))
    train(tmp_path / 'whole', 'stop-sum-whole', optim_wrapper=wrapper)
    assert asked_to_stop(tmp_path / 'parts', 'stop-sum', 4, optim_wrapper=wrapper).name == 'iter_4.pth'
    train(tmp_path / 'parts', 'stop-sum-on', resume=True, optim_wrapper=wrapper)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)


def test_an_iteration_is_saved_once(tmp_path, monkeypatch):
    written = []
    write = WholeCheckpointHook._write
    monkeypatch.setattr(WholeCheckpointHook, '_write', lambda *given: (written.append(given[2]), write(*given)))
    asked_to_stop(tmp_path / 'run', 'stop-once', 4)
    assert written == ['iter_4.pth']


def test_checkpoints_by_epoch(tmp_path):
    hooks = dict(SELDOM, checkpoint=dict(by_epoch=True, interval=1))
    train(tmp_path / 'whole', 'stop-epoch-whole', default_hooks=hooks)
    assert asked_to_stop(tmp_path / 'parts', 'stop-epoch', 7, default_hooks=hooks).name == 'iter_7.pth'
    train(tmp_path / 'parts', 'stop-epoch-on', resume=True, default_hooks=hooks)
    last = Path((tmp_path / 'whole/last_checkpoint').read_text()).name
    one, two = (load_checkpoint(tmp_path / run / last) for run in ('whole', 'parts'))
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'train_loop', 'random_states'):
        assert_equal(one[part], two[part], part)


def in_a_group_of_its_own(*arguments, **options) -> None:
    os.setsid()
    asked_to_stop(*arguments, **options)


def test_the_workers_survive_a_signal_to_the_process_group(tmp_path):
    """torchrun signals the group of a rank; the batches of the update are theirs."""
    wrapper = dict(constructor='DecayGroupsConstructor', accumulative_counts=4, optimizer=dict(type='AdamW', lr=0.05))
    hook = dict(to='group')
    process = start_process(in_a_group_of_its_own, tmp_path, 'stop-group', 2, hook=hook, optim_wrapper=wrapper)
    process.join()
    assert process.exitcode == 0 and (tmp_path / 'iter_2.pth').is_file()


def signalled_twice(work_dir: Path, same_request: float) -> None:
    signals.SAME_REQUEST = same_request
    asked_to_stop(work_dir, f'stop-twice-{same_request}', 5, hook=dict(times=2))


@pytest.mark.parametrize(('same_request', 'code'), [(0.0, -signal.SIGTERM), (60.0, 0)])
def test_a_second_signal_leaves_at_once_unless_it_is_the_same_request(tmp_path, same_request, code):
    process = start_process(signalled_twice, tmp_path, same_request)
    process.join()
    assert process.exitcode == code
    assert (tmp_path / 'iter_5.pth').exists() == (code == 0)


def test_what_is_ignored_stays_so_and_another_thread_changes_nothing(monkeypatch):
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with StopRequest().listen():
            assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
            assert callable(signal.getsignal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGUSR1, before)
    seen = []

    def listen() -> None:
        with StopRequest().listen():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def two_ranks(root: Path, launcher: str) -> None:
    loops.SLURM_FAREWELL = 0.0
    rank = os.environ['RANK']
    os.environ.update(SLURM_PROCID=rank, SLURM_NTASKS='2', SLURM_LOCALID=rank)
    changes = dict(launcher=launcher, default_hooks=SELDOM)
    changes['train_dataloader'] = dict(image=toys.loader('image', size=27), video=toys.loader('video', size=19))
    train(root / 'whole', f'stop-ranks-{launcher}-0', **changes)
    hooks = [dict(type='SignalHook', at=5, name='SIGUSR1', rank=1)]
    with pytest.raises(SystemExit) as caught:
        train(root / 'parts', f'stop-ranks-{launcher}-1', custom_hooks=hooks, **changes)
    assert caught.value.code == (0 if launcher == 'slurm' and rank == '1' else RESTART_CODE)
    assert (root / 'parts/iter_5.pth').is_file()  # for every rank that has left
    train(root / 'parts', f'stop-ranks-{launcher}-2', resume=True, **changes)


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm'])
def test_one_rank_is_asked_and_all_leave(tmp_path, launcher):
    run_ranks(two_ranks, tmp_path, launcher)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)


def left_alone(launcher: int) -> None:
    signals.GRACE = 0.0
    os.environ[signals.LAUNCHER_PROCESS] = str(launcher)
    signals.watch_launcher()
    time.sleep(30)


@pytest.mark.parametrize('gone', [True, False])
def test_a_rank_ends_whose_launcher_was_gone_before_it_looked(gone):
    launcher = subprocess.Popen(['sleep', '0' if gone else '60'])
    if gone:
        launcher.wait()
    process = start_process(left_alone, launcher.pid)
    process.join(20 if gone else 3)
    assert process.exitcode == (-signal.SIGTERM if gone else None)
    for one in (process, launcher):
        one.kill()
    launcher.wait()


def test_one_run_per_work_directory(tmp_path):
    """A second one is refused before it touches anything; to test a checkpoint elsewhere is fine."""
    work_dir = tmp_path / 'run'
    train(work_dir, 'alone-1', stop=dict(after=2))
    (work_dir / '.iter_3.pth.x.tmp').touch()  # what the other run is writing
    (work_dir / '.lock').unlink()
    ready, say_ready = os.pipe()
    other = os.fork()
    if other == 0:
        with lock_folder(work_dir):
            os.write(say_ready, b'.')
            signal.pause()
    os.read(ready, 1)
    before = sorted(work_dir.iterdir())
    test = dict(
        test_dataloader=dict(image=toys.loader('image', size=4)),
        test_evaluator=dict(image=dict(type='ToyEvaluation')),
        test_cfg=dict(type='EvaluationLoop'),
        load_from=str(work_dir / 'iter_2.pth'),
    )
    try:
        with pytest.raises(OmniVLRuntimeError, match=rf'{work_dir} is in use by another run: process {other} on '):
            train(work_dir, 'alone-2', resume=True)
        assert sorted(work_dir.iterdir()) == before
        assert OmniVLRunner.from_cfg(toys.toy_config(work_dir / 'test', 'alone-3', **test)).test()['image.r5'] == 50.0
        with pytest.raises(OmniVLRuntimeError, match='in use by another run'):
            OmniVLRunner.from_cfg(toys.toy_config(work_dir, 'alone-4', **test)).test()
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    train(work_dir, 'alone-5', resume=True)
    assert not list(work_dir.glob('.*.tmp'))
