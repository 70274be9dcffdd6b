"""The scripts that start several processes: what they do when one dies, and when they are asked to stop."""

import os
import runpy
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import toys
from forked import forking_python
from runs import assert_same_run, run_ranks, train

import omnivl.commands.train as train_command
from omnivl.engine import AlternatingTrainLoop, distributed
from omnivl.engine.loops import SLURM_FAREWELL
from omnivl.engine.signals import RESTART_CODE
from omnivl.errors import OmniVLRuntimeError
from omnivl.storage import load_checkpoint
from omnivl.storage.lock import lock_folder

ROOT = Path(__file__).parents[2]
LOADERS = dict(image=toys.loader('image', size=27), video=toys.loader('video', size=19))


def write_config(work_dir: Path, **changes) -> Path:
    """Write a toy config as a file."""
    config = toys.toy_config(work_dir, work_dir.name, **(dict(train_dataloader=LOADERS) | changes))
    config |= dict(custom_imports=dict(imports=['toys'], allow_failed_imports=False), runner_type='OmniVLRunner')
    path = work_dir.with_suffix('.py')
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in config.items()))
    return path


def write_slow_config(work_dir: Path, steps: int, pause: float) -> Path:
    """Write a toy config of so many steps, whose samples take so many seconds each."""
    return write_config(work_dir, **slow_run(steps, pause))


def slow_run(steps: int, pause: float) -> dict:
    """What makes a toy config one of so many steps, whose samples take so many seconds each."""
    loaders = {name: toys.loader(name, size=27, pause=pause) for name in ('image', 'video')}
    loop = dict(type='AlternatingTrainLoop', max_iters=steps, proportions=dict(image=2, video=1))
    return dict(train_dataloader=loaders, train_cfg=loop)


def dist_train(*arguments) -> subprocess.CompletedProcess:
    """Run tools/dist_train.sh to its end."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    own = dict(PORT=port, OMP_NUM_THREADS='1', PYTHONPATH=str(Path(__file__).parent))
    command = ['bash', str(ROOT / 'tools/dist_train.sh'), *map(str, arguments)]
    with forking_python() as python:
        return subprocess.run(command, env=os.environ | own | python, capture_output=True, text=True, timeout=600)


def ranks(work_dir: Path, name: str, resume: bool) -> None:
    train(work_dir, name, launcher='pytorch', train_dataloader=LOADERS, resume=resume)


def wait_until_free(folder: Path) -> None:
    for _ in range(600):
        try:
            with lock_folder(folder):
                return
        except OmniVLRuntimeError:
            time.sleep(0.1)
    raise AssertionError('the first rank is still there')


@pytest.mark.slow
@pytest.mark.parametrize('end', ['SIGUSR1', 'SIGKILL'])  # the launcher turns SIGUSR1 into SIGTERM
def test_two_processes_of_which_one_dies_and_whose_launcher_is_stopped(tmp_path, end):
    """A rank is killed and the round after it resumes; its launcher is ended, and so does the run after that.

    A launcher that is asked to end is so in its first round: to start processes takes most of the time.
    """
    last = 1 if end == 'SIGKILL' else 0
    died = dict(type='SignalHook', at=3, name='SIGKILL', rank=1, restart=0)
    stopped = dict(type='SignalHook', at=6, name=end, to='launcher', rank=0, restart=last)
    config = write_config(tmp_path / 'parts', custom_hooks=[died, stopped] if last else [stopped])
    done = dist_train(config, 2, '--max-restarts', 1)
    wait_until_free(tmp_path / 'parts')  # a killed launcher waits for nobody
    assert done.returncode == (-9 if end == 'SIGKILL' else RESTART_CODE), done.stdout + done.stderr
    if end != 'SIGKILL':
        assert 'leaving after iteration 6 of 10' in done.stdout + done.stderr
    assert (tmp_path / 'parts/last_checkpoint').read_text().endswith('/iter_6.pth')
    assert load_checkpoint(tmp_path / 'parts/iter_6.pth')['meta']['world_size'] == 2
    run_ranks(ranks, tmp_path / 'parts', f'parts-{end}', True)
    run_ranks(ranks, tmp_path / 'whole', f'whole-{end}', False)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)


def call_train(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, 'argv', ['train.py', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')


@pytest.mark.parametrize('name', ['TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT'])
def test_a_run_that_a_launcher_starts_anew_resumes(monkeypatch, tmp_path, name):
    config, start = write_config(tmp_path / 'run'), tmp_path / 'start'
    call_train(monkeypatch, config, '--work-dir', start, '--cfg-options', 'train_cfg.max_iters=2')
    monkeypatch.setenv(name, '1')
    # Before its first checkpoint it begins as it was told to begin, then it resumes what it has.
    for length in (4, 5):
        options = ('--resume', start / 'iter_2.pth', '--cfg-options', f'train_cfg.max_iters={length}')
        call_train(monkeypatch, config, *options)
    logs = [path.read_text() for path in sorted((tmp_path / 'run').glob('*/*.log'))]
    assert load_checkpoint(tmp_path / 'run/iter_5.pth')['train_loop']['iteration'] == 5
    assert "resume='auto'" in load_checkpoint(tmp_path / 'run/iter_5.pth')['meta']['cfg']
    assert "resume='" + str(start) in load_checkpoint(tmp_path / 'run/iter_4.pth')['meta']['cfg'], logs


def test_a_run_that_died_before_its_first_checkpoint_does_not_take_an_older_one(monkeypatch, tmp_path):
    """An older run has saved more steps into the same folder; no round of the new one goes on from it."""
    config, run = write_config(tmp_path / 'run'), tmp_path / 'run'
    call_train(monkeypatch, config, '--cfg-options', 'train_cfg.max_iters=6', 'randomness.seed=1')
    options = ('--cfg-options', 'train_cfg.max_iters=3', 'randomness.seed=2')
    with monkeypatch.context() as patched:
        patched.setattr(AlternatingTrainLoop, 'run', Mock(side_effect=MemoryError))
        with pytest.raises(MemoryError):
            call_train(monkeypatch, config, *options)
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
    call_train(monkeypatch, config, *options)
    assert load_checkpoint(run / 'iter_3.pth')['meta']['seed'] == 2
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '2')  # goes on from its own third, not from the older sixth
    call_train(monkeypatch, config, '--cfg-options', 'train_cfg.max_iters=4', 'randomness.seed=2')
    again = load_checkpoint(run / 'iter_4.pth')
    assert (again['meta']['seed'], again['train_loop']['iteration']) == (2, 4)
    assert "resume='auto'" in again['meta']['cfg']
    assert "resume='auto'" not in load_checkpoint(run / 'iter_3.pth')['meta']['cfg']


SRUN = """#!/bin/sh
echo "$@" >> {calls}
code=$(head -n 1 {codes})
sed -i 1d {codes}
case "$code" in
    TERM|USR1)
        trap 'exit 75' $code
        kill -$code $PPID
        while :; do sleep 0.05; done;;
esac
exit "$code"
"""


def slurm_train(tmp_path: Path, codes: list, **environment: str) -> tuple[int, list[str], str]:
    """Run tools/slurm_train.sh with a ``srun`` that ends with the given codes, or sends its script a signal first.

    Returns the code of the script, the calls of ``srun``, and those of ``scontrol``.
    """
    calls, control, left = (tmp_path / name for name in ('calls', 'control', 'codes'))
    left.write_text(''.join(f'{code}\n' for code in codes))
    control.write_text('')
    (tmp_path / 'srun').write_text(SRUN.format(calls=calls, codes=left))
    (tmp_path / 'scontrol').write_text(f'#!/bin/sh\necho "$@" >> {control}\n')
    for name in ('srun', 'scontrol'):
        (tmp_path / name).chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith('SLURM')}
    command = ['bash', str(ROOT / 'tools/slurm_train.sh'), 'part', 'name', 'c.py', 'work', '--amp', 'bf16']
    path = f'{tmp_path}:{os.environ["PATH"]}'
    code = subprocess.run(command, env=own | environment | dict(PATH=path), timeout=60).returncode
    return code, calls.read_text().splitlines(), control.read_text()


def test_slurm_signals_before_the_limit_and_the_script_goes_on(tmp_path):
    code, calls, control = slurm_train(tmp_path, [75, 'USR1', 0])
    assert code == 0 and control == ''
    assert [call.endswith('--amp bf16 --resume') for call in calls] == [False, True, True]
    assert all('--signal=USR1@120' in call and '--kill-on-bad-exit=1' in call for call in calls)


def test_slurm_gives_up_in_the_end(tmp_path):
    code, calls, _ = slurm_train(tmp_path, [75, 75, 75, 75], MAX_REQUEUES='2', STOP_SIGNAL='USR1@600')
    assert code == 75 and len(calls) == 3 and '--signal=USR1@600' in calls[0]


def test_a_failed_training_is_not_repeated(tmp_path):
    code, calls, control = slurm_train(tmp_path, [1, 0], SLURM_JOB_ID='17')
    assert (code, len(calls), control) == (1, 1, '')


@pytest.mark.parametrize(('count', 'control'), [(None, 'requeue 17\n'), ('4', 'requeue 17\n'), ('5', '')])
def test_a_batch_job_is_requeued(tmp_path, count, control):
    given = {} if count is None else dict(SLURM_RESTART_COUNT=count)
    assert slurm_train(tmp_path, [75, 0], SLURM_JOB_ID='17', MAX_REQUEUES='5', **given)[::2] == (75, control)


@pytest.mark.parametrize('job', [{}, dict(SLURM_JOB_ID='17')])
def test_a_script_that_is_ended_saves_and_is_not_requeued(tmp_path, job):
    code, calls, control = slurm_train(tmp_path, ['TERM', 0], **job)
    assert (code, len(calls), control) == (75, 1, '')


def test_the_launcher_ends_with_the_code_of_its_processes():
    assert runpy.run_path(str(ROOT / 'tools/launch.py'))['RESTART_CODE'] == RESTART_CODE
    assert (train_command.RESTART_CODE, train_command.FAREWELL) == (RESTART_CODE, SLURM_FAREWELL)


@pytest.mark.parametrize(('rank', 'code'), [(None, RESTART_CODE), ('0', RESTART_CODE), ('1', 0)])
def test_a_signal_before_the_training_asks_for_a_restart(rank, code):
    own = {name: value for name, value in os.environ.items() if not name.startswith('SLURM')}
    lines = ('import signal, sys, omnivl.commands.train as t, time', 't.FAREWELL = 0', 'signal.signal(10, t.leave)')
    program = '; '.join((*lines, 'signal.raise_signal(10)', 'time.sleep(9)'))
    environment = own if rank is None else own | dict(SLURM_PROCID=rank)
    assert subprocess.run([sys.executable, '-c', program], env=environment, timeout=60).returncode == code


def test_jobs_of_slurm_on_one_machine_have_ports_of_their_own(monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT'):  # put back afterwards
        monkeypatch.setenv(name, '')
    ports = []
    for job in ('17', '18', str(17 + distributed.PORTS)):
        given = dict(SLURM_PROCID='0', SLURM_NTASKS='2', SLURM_LOCALID='0', MASTER_ADDR='here', SLURM_JOB_ID=job)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv('MASTER_PORT', raising=False)
        distributed._slurm_environment(None)
        ports.append(os.environ['MASTER_PORT'])
    assert ports == ['12017', '12018', '12017']
