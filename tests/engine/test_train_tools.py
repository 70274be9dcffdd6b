"""The command line: train, resume, test, several processes."""

import json
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import toys

from omnivl.engine import load_checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config_file(tmp_path):
    """A toy config as a file."""
    config = toys.toy_config(tmp_path / 'run', tmp_path.name)
    config |= dict(custom_imports=dict(imports=['toys'], allow_failed_imports=False), runner_type='OmniVLRunner')
    config |= dict(
        test_dataloader={'image.toy': dict(toys.loader('image', size=7), batch_size=3)},
        test_evaluator={'image.toy': dict(type='ToyEvaluation')},
        test_cfg=dict(type='EvaluationLoop'),
    )
    path = tmp_path / 'toy.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in config.items()))
    return path


def call(monkeypatch, tool, *arguments):
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')


def test_train_resume_and_test(monkeypatch, tmp_path, config_file):
    run = tmp_path / 'elsewhere'
    call(monkeypatch, 'train.py', config_file, '--work-dir', run, '--cfg-options', 'train_cfg.max_iters=3')
    assert load_checkpoint(run / 'iter_3.pth')['train_loop']['iteration'] == 3
    call(monkeypatch, 'train.py', config_file, '--work-dir', run, '--resume', '--amp', 'bf16')
    assert load_checkpoint(run / 'iter_10.pth')['train_loop']['iteration'] == 10
    assert 'bf16' in load_checkpoint(run / 'iter_10.pth')['meta']['cfg']
    call(monkeypatch, 'train.py', config_file, '--work-dir', tmp_path / 'branch', '--resume', run / 'iter_8.pth')
    assert {path.name for path in (tmp_path / 'branch').glob('*.pth')} == {'iter_9.pth', 'iter_10.pth'}
    call(monkeypatch, 'test.py', config_file, run / 'iter_10.pth', '--work-dir', tmp_path / 'test')
    assert json.loads((tmp_path / 'test/metrics.json').read_text())['image']['toy']['r5'] == 50.0


@pytest.mark.parametrize(
    ('tool', 'arguments', 'message'),
    [
        ('train.py', ['CONFIG', '--cfg-options', 'train_cfg.max_iter=3'], "did you mean 'max_iters'"),
        ('train.py', ['nowhere.py'], 'nowhere.py'),
        ('train.py', ['CONFIG', '--resume', 'nowhere.pth'], 'there is no checkpoint nowhere.pth'),
        ('test.py', ['CONFIG', 'nowhere.pth'], 'there is no checkpoint nowhere.pth'),
    ],
)
def test_mistakes_end_with_one_line(monkeypatch, config_file, tool, arguments, message):
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, tool, *[config_file if argument == 'CONFIG' else argument for argument in arguments])
    assert str(caught.value).startswith('error: ') and message in str(caught.value)


def test_a_launcher_that_launched_nothing(monkeypatch, config_file):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(RuntimeError, match=r'the environment has no RANK: start the processes with torchrun'):
        call(monkeypatch, 'train.py', config_file, '--launcher', 'pytorch')


def run_script(script, *arguments):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    environment = dict(
        os.environ,
        PYTHON=sys.executable,
        PORT=str(port),
        PYTHONPATH=str(Path(__file__).parent),
        OMP_NUM_THREADS='1',
    )
    command = ['bash', str(ROOT / 'tools' / script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_two_processes_on_a_cpu(tmp_path, config_file):
    run = tmp_path / 'run'
    train = ('--work-dir', run, '--cfg-options', 'train_cfg.max_iters=2', 'train_dataloader.image.dataset.size=24')
    run_script('dist_train.sh', config_file, 2, *train)
    content = load_checkpoint(run / 'iter_2.pth')
    assert content['meta']['world_size'] == 2
    run_script('dist_test.sh', config_file, run / 'iter_2.pth', 2, '--work-dir', tmp_path / 'test')
    assert json.loads((tmp_path / 'test/metrics.json').read_text())['run']['stage'] == 'test'


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_scripts_say_how_they_are_used(script):
    done = subprocess.run(['bash', str(ROOT / 'tools' / script)], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith('usage: ')


def test_slurm_starts_one_process_per_gpu(tmp_path):
    fake = tmp_path / 'srun'
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    environment = dict(os.environ, PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='16', PYTHON='python')
    command = ['bash', str(ROOT / 'tools/slurm_train.sh'), 'part', 'name', 'c.py', 'work', '--amp', 'bf16']
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert '--gres=gpu:8 --ntasks=16 --ntasks-per-node=8' in output
    assert output.strip().endswith('tools/train.py c.py --work-dir work --launcher slurm --amp bf16')
