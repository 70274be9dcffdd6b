"""The quickstart: its bookkeeping on stand-in tools (seconds), and the whole of it with the real ones (a smoke run)."""

import json
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from stand_ins import QUICKSTART, ROOT, Checkout

from projects.demo import quickstart, tasks, threads
from projects.demo.steps import StepRunner, find_code
from projects.demo.threads import choose_threads, measure_steps
from tests.forked import Program


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path, 'quickstart.sh', 'work_dirs/demo', ['pretrain_image', 'pretrain_joint'])


def test_every_step_runs_once_and_is_skipped_on_a_second_run(checkout):
    code, output, calls = checkout.run()
    assert code == 0, output
    assert [call[0] for call in calls] == QUICKSTART
    assert set(checkout.seconds()) == {'corpus', 'vocabulary', 'stage1', 'stage2', 'test', 'report'}
    for number in range(1, 7):
        assert f'[{number}/6]' in output
    assert 'report.html' in output.splitlines()[-2]
    seconds = checkout.seconds()

    code, output, calls = checkout.run()
    assert code == 0 and calls == []
    assert output.count('already done, skipped') == 6
    assert checkout.seconds() == seconds


def test_stage_two_starts_from_stage_one_and_its_last_checkpoint_is_evaluated(checkout, tmp_path):
    code, output, calls = checkout.run(QUICKSTART_WORK_DIR=str(tmp_path / 'a work dir'))
    assert code == 0, output
    assert '--resume' not in calls[3]
    assert calls[4][2].endswith('stage2/iter_1.pth')


def test_a_failing_step_says_which_and_how_to_go_on(checkout):
    code, output, _ = checkout.run(FAIL='train/demo/stage2')
    assert code == 1
    assert 'stopped in step 4 of 6 (stage2), exit code 1' in output
    assert 'logs/stage2.log' in output and 'run the same command again' in output
    assert 'told to fail' in (checkout.work_dir / 'logs/stage2.log').read_text()

    code, output, calls = checkout.run()
    assert code == 0 and output.count('already done, skipped') == 3
    assert [call[0] for call in calls] == QUICKSTART[3:]


@pytest.mark.parametrize(
    ('stop', 'code'),
    [
        (lambda process: os.killpg(process.pid, signal.SIGINT), 130),
        (lambda process: process.send_signal(signal.SIGINT), 130),
        (lambda process: process.terminate(), 143),
    ],
    ids=['Ctrl-C', 'SIGINT', 'SIGTERM'],
)
def test_interrupted_training_is_resumed_and_its_seconds_add_up(checkout, stop, code):
    process = checkout.start(HANG='train/demo/stage1')
    for line in process.stdout:
        if line.startswith('training'):
            break
    time.sleep(1.5)
    stop(process)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == code and 'stopped in step 3 of 6 (stage1)' in output
    before = checkout.seconds()['stage1']
    assert before >= 1.5

    code, output, calls = checkout.run()
    assert code == 0 and 'resuming from' in output
    assert '--resume' in calls[0]
    assert checkout.seconds()['stage1'] > before


def test_changed_settings_redo_the_step_and_what_depends_on_it_and_keep_the_old_output(checkout):
    checkout.run()
    config = checkout.config('pretrain_joint')
    config.write_text(config.read_text() + '# a comment changes nothing\n')
    assert checkout.run()[2] == []
    config.write_text('train_cfg = dict(max_iters=20)\n')
    code, output, calls = checkout.run()
    assert code == 0, output
    assert [call[0] for call in calls] == QUICKSTART[3:]
    assert '--resume' not in calls[0]
    assert (checkout.work_dir / 'stage2.old1/last_checkpoint').exists()


def test_changed_code_of_the_model_redoes_the_training_and_not_the_corpus(checkout):
    checkout.run()
    (checkout.root / 'omnivl/models/omnivl.py').write_text('width = 2\n')
    code, output, calls = checkout.run()
    assert code == 0, output
    assert [call[0] for call in calls] == QUICKSTART[2:]
    assert '--resume' not in calls[0]
    assert (checkout.work_dir / 'stage1.old1/last_checkpoint').exists()


def test_changed_code_of_the_evaluation_redoes_the_test_and_not_the_training(checkout):
    checkout.run()
    (checkout.root / 'omnivl/evaluation').mkdir()
    (checkout.root / 'omnivl/evaluation/ranks.py').write_text('')
    code, output, calls = checkout.run()
    assert code == 0, output
    assert [call[0] for call in calls] == QUICKSTART[4:]


def test_every_pattern_of_code_finds_files():
    codes = (quickstart.CORPUS_CODE, quickstart.VOCABULARY_CODE, quickstart.TEST_CODE, quickstart.REPORT_CODE)
    for pattern in (*(pattern for code in codes for pattern in code), *tasks.TASKS_CODE, *tasks.TABLE_CODE):
        assert find_code([pattern]), pattern


def test_a_folder_that_is_not_a_demo_corpus_is_kept(checkout, tmp_path):
    mine = tmp_path / 'mine'
    mine.mkdir()
    (mine / 'precious.txt').write_text('kept')
    code, output, _ = checkout.run(QUICKSTART_DATA=str(mine))
    assert code == 0, output
    assert (tmp_path / 'mine.old1/precious.txt').read_text() == 'kept'


def test_a_config_that_cannot_be_read_stops_before_anything_is_set_aside(checkout):
    checkout.run()
    config = checkout.config('pretrain_image')
    config.write_text('train_cfg = dict(')
    code, output, calls = checkout.run()
    assert code != 0 and calls == [] and 'SyntaxError' in output
    assert not (checkout.work_dir / 'stage1.old1').exists()


def test_smoke_has_folders_of_its_own(checkout):
    code, output, calls = checkout.run(QUICKSTART_SMOKE='1')
    assert code == 0, output
    assert '--smoke' in calls[0] and 'data/demo_smoke' in calls[0]
    assert any(word.startswith('train_cfg.max_iters=') for word in calls[2])
    assert not checkout.work_dir.exists()


@pytest.mark.parametrize(
    ('script', 'message'),
    [
        ('#!/bin/sh\necho Python 3.8.1; exit 1\n', 'needs Python 3.10 or newer, found only Python 3.8.1'),
        ('#!/bin/sh\ncase "$2" in *venv*) exit 1;; esac\n', 'sudo apt install python3-venv'),
        (None, 'no Python found'),
    ],
    ids=['too old', 'without venv', 'none'],
)
def test_what_is_wrong_with_the_python_at_hand_is_said(checkout, tmp_path, script, message):
    programs = tmp_path / 'bin'
    programs.mkdir()
    for name in ('bash', 'cksum', 'dirname', 'id', 'mkdir', 'tr'):
        (programs / name).symlink_to(shutil.which(name))
    if script:
        (programs / 'python3').write_text(script)
        (programs / 'python3').chmod(0o755)
    code, output, _ = checkout.run(PATH=str(programs), OMNIVL_VENV=str(tmp_path / 'new'))
    assert code == 1 and message in output


# Notes how pip is called, and is the network: CPU_INDEX says whether the index of the wheels for CPUs answers.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    *urllib*) [ "$CPU_INDEX" = up ] ;;
    *"-m pip"*) echo "pip: $*" ;;
    *"import cv2"*) ;;
    *) exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ('settings', 'has_gpu', 'is_cpu_build', 'said'),
    [
        ({'CPU_INDEX': 'up'}, False, True, 'torch for CPUs only (2 GB instead of 6)'),
        ({'CPU_INDEX': 'down'}, False, False, 'cannot be reached: torch with its CUDA libraries (6 GB)'),
        ({'CPU_INDEX': 'up'}, True, False, 'pip install'),
        ({'CPU_INDEX': 'up', 'OMNIVL_TORCH': 'cuda'}, False, False, 'pip install'),
        ({'CPU_INDEX': 'up', 'OMNIVL_TORCH': 'cpu'}, True, True, 'OMNIVL_TORCH=cuda'),
        ({'CPU_INDEX': 'up', 'OMNIVL_TORCH': 'gpu'}, False, False, 'OMNIVL_TORCH is gpu; allowed are cpu and cuda'),
    ],
)
def test_torch_comes_without_cuda_where_there_is_no_gpu(checkout, tmp_path, settings, has_gpu, is_cpu_build, said):
    for name, script in (('venv/bin/python', FAKE_PYTHON), ('bin/nvidia-smi', f'#!/bin/sh\nexit {int(not has_gpu)}\n')):
        program = tmp_path / name
        program.parent.mkdir(parents=True)
        program.write_text(script)
        program.chmod(0o755)
    path = f'{tmp_path / "bin"}:{os.environ["PATH"]}'
    _, output, _ = checkout.run(PATH=path, OMNIVL_VENV=str(tmp_path / 'venv'), **settings)
    calls = [line for line in output.splitlines() if line.startswith('pip: ')]
    assert said in output
    assert ('--extra-index-url https://download.pytorch.org/whl/cpu' in ' '.join(calls)) is is_cpu_build


@pytest.mark.parametrize(
    ('cores', 'seconds', 'threads'),
    [(8, {1: 0.062, 6: 0.055}, 1), (8, {1: 0.089, 6: 0.061}, 6), (4, {1: 0.06, 2: 0.1}, 1), (2, {1: 0.1}, 1)],
    ids=['hardly faster', 'faster', 'slower', 'two cores'],
)
def test_one_thread_is_taken_unless_more_are_measured_to_be_clearly_faster(
    tmp_path, monkeypatch, cores, seconds, threads
):
    measured = []

    def measure(config, candidates):
        measured.append((config, candidates))
        return seconds

    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(cores)))
    for _ in range(2):
        monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
        chosen = choose_threads(tmp_path, 'a.py', measure=measure)
        assert os.environ['OMP_NUM_THREADS'] == str(threads)
        assert chosen.line.startswith(f'threads: {threads} of {cores} (')
        assert all(f'{value:.3f} s with {count}' in chosen.line for count, value in seconds.items())
        assert chosen.step_seconds == seconds[threads]
    assert measured == [('a.py', list(seconds))]  # once


def test_threads_that_are_given_are_measured_only_where_the_time_is_of_use(tmp_path, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    chosen = choose_threads(tmp_path, 'a.py', is_timed=False, measure=None)
    assert (chosen.line, chosen.step_seconds) == ('threads: 3 (OMP_NUM_THREADS)', 0.0)
    chosen = choose_threads(tmp_path, 'a.py', measure=lambda config, candidates: dict.fromkeys(candidates, 0.2))
    assert (chosen.line, chosen.step_seconds) == ('threads: 3 (OMP_NUM_THREADS)', 0.2)
    monkeypatch.delenv('OMP_NUM_THREADS')
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 1})
    assert choose_threads(tmp_path / 'other', 'a.py', is_timed=False).line.startswith('threads: 1 of 2 (')


def test_a_step_of_the_demo_is_timed_with_one_thread_and_with_several(tmp_path, monkeypatch):
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    (tmp_path / 'vocab.txt').write_text('\n'.join([*special, *(f'w{word}' for word in range(100))]))
    monkeypatch.setenv('OMNIVL_DEMO_DATA', str(tmp_path))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(threads, 'STEPS', 3)
    monkeypatch.setattr(threads, 'random_images', partial(threads.random_images, size=2))
    seconds = measure_steps(str(ROOT / quickstart.STAGE1), [1, 2])
    assert set(seconds) == {1, 2} and all(value > 0 for value in seconds.values())


def test_nothing_sets_a_wait_policy():
    for script in (ROOT / 'tools').glob('*.sh'):
        assert 'OMP_WAIT_POLICY' not in script.read_text()
    assert 'OMP_WAIT_POLICY' not in (ROOT / 'projects/demo/steps.py').read_text()


@pytest.fixture
def smoke(tmp_path, monkeypatch):
    """The folders of a smoke run, whose steps are forked: six new Pythons would take a minute to read the libraries."""
    folders = {name: str(tmp_path / f'the {name}') for name in ('data', 'work_dir')}  # with spaces in their paths
    variables = {f'QUICKSTART_{name.upper()}': folder for name, folder in folders.items()}
    for name, value in (variables | dict(QUICKSTART_SMOKE='1')).items():
        monkeypatch.setenv(name, value)
    for name in ('OMNIVL_DEMO_DATA', 'OMNIVL_DEMO_WORK_DIR', 'PYTHONUNBUFFERED'):
        monkeypatch.setenv(name, '')  # which main sets
    monkeypatch.setattr(
        StepRunner, '_run_child', lambda self, command, log: Program(*command[1:], cwd=ROOT, output=log).wait()
    )
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield Path(folders['work_dir'])
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_smoke_run_of_the_real_thing(smoke, capsys):
    """Corpus, vocabulary, both stages, evaluation and report with the real tools, then once more with nothing to do."""
    quickstart.main()
    metrics = json.loads((smoke / 'metrics.json').read_text())
    for modality, directions in (('image', 't2i i2t'), ('video', 't2v v2t')):
        for direction in directions.split():
            for k in (1, 5, 10):
                assert 0 <= metrics[modality]['retrieval'][f'{direction}_r{k}'] <= 100
                assert 0 <= metrics[modality]['retrieval'][f'{direction}_r{k}_reranked'] <= 100
                assert 0 < metrics['chance'][modality]['retrieval'][f'{direction}_r{k}'] <= 100
        assert 0 <= metrics[modality]['caption']['slots'] <= 100
        assert 0 <= metrics[modality]['zero_shot']['top1'] <= 100
    assert {'corpus', 'vocabulary', 'stage1', 'stage2', 'test'} <= set(metrics['seconds'])
    page = (smoke / 'report.html').read_text(encoding='utf-8')
    assert page.count('<img') > 10 and page.count('<svg') > 3

    assert 'already done' not in capsys.readouterr().out
    quickstart.main()
    assert capsys.readouterr().out.count('already done, skipped') == 6
