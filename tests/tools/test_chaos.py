"""The tool that disturbs trainings: it tells equal runs from others, and a short form of it."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from forked import Program

from omnivl.errors import OmniVLRuntimeError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def chaos(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    return runpy.run_path(str(ROOT / 'tools/chaos.py'))['main'].__globals__


def test_it_names_the_first_difference(chaos):
    one = dict(queue=[torch.zeros(2), torch.ones(2)], place=3, loss=float('nan'))
    assert chaos['difference'](one, dict(one), 'run') is None
    changed = one | dict(queue=[torch.zeros(2), torch.tensor([1.0, 1.0000001])])
    assert chaos['difference'](one, changed, 'run') == 'run.queue[1]'
    assert chaos['difference'](one, one | dict(place=3.0), 'run') == 'run.place'
    assert chaos['difference'](one, one | dict(more=1), 'run') == 'run'


def test_a_line_that_a_full_disk_cut_off_is_passed_over(chaos, tmp_path):
    file = tmp_path / 'scalars.json'
    file.write_text('{"lr": 0.1, "loss": 2.0, "time": 3.0, "step": 1}\n{"r1": 4.0, "step": 1}\n{"lr": 0.1, "st')
    assert chaos['steps_of'](file) == {1: dict(lr=0.1, loss=2.0, step=1)}


def test_a_run_that_differs_ends_it_with_an_error(chaos, monkeypatch, tmp_path, capsys):
    def differ(case, whole):
        case.differs = 'checkpoint.optimizer'

    monkeypatch.setitem(chaos, 'run_whole', lambda run: (40, 1.0, 1000))
    monkeypatch.setitem(chaos, 'try_case', differ)
    monkeypatch.setattr(sys, 'argv', ['chaos.py', '--work-dir', str(tmp_path), '--kinds', 'main', 'rank'])
    with pytest.raises(SystemExit) as caught:
        chaos['main']()
    output = capsys.readouterr().out
    assert caught.value.code == 1 and '0 of 3 runs' in output  # one process has no other rank
    assert output.count('differs: checkpoint.optimizer') == 6 and f'logs are in {tmp_path}' in output


@pytest.mark.parametrize(('code', 'steps'), [(1, {1: {}, 2: {}, 3: {}}), (0, {1: {}, 2: {}}), (0, {2: {}, 4: {}})])
def test_an_undisturbed_run_that_nothing_can_be_compared_with(chaos, monkeypatch, tmp_path, code, steps):
    run = chaos['Run']('config.py', [], 1, tmp_path / 'whole')
    for name, value in dict(start=None, wait_for=1, end=code).items():
        monkeypatch.setattr(run, name, lambda *given, value=value: value)
    monkeypatch.setitem(chaos, 'logged', lambda folder: steps)
    with pytest.raises(OmniVLRuntimeError, match=r'logger\.interval=1\); see .*whole\.log'):
        chaos['run_whole'](run)


@pytest.mark.slow
def test_killed_while_saving_and_signalled(chaos, monkeypatch, tmp_path, capsys):
    def start(command, stdout, env, **_):
        return Program(*command[1:], env=env, output=stdout.name)

    monkeypatch.setitem(chaos, 'subprocess', SimpleNamespace(run=subprocess.run, Popen=start))
    words = ['--work-dir', str(tmp_path), '--processes', '1', '--kinds', 'saving', 'SIGUSR1', '--seed', '3']
    monkeypatch.setattr(sys, 'argv', ['chaos.py', *words, '--cfg-options', 'train_cfg.max_iters=16'])
    chaos['main']()
    said = capsys.readouterr().out
    assert '2 of 2 runs ended as the undisturbed one, bit for bit' in said
    assert re.search(r'saving +1 +\d+ +-9 +\S.* bit-equal', said)
    assert re.search(r'SIGUSR1 +1 +\d+ +75 +\d+ +bit-equal', said)
