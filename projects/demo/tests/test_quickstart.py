"""The quickstart: its bookkeeping on stand-in tools (seconds), and the whole of it with the real ones (a smoke run)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# Stand-ins that note their calls and leave what the real tools would leave.
STAND_IN = """
import json, os, sys, time
from pathlib import Path
name, args = Path(sys.argv[0]).stem, sys.argv[1:]
with open(os.environ['CALLS'], 'a') as file:
    file.write(json.dumps([name, *args]) + '\\n')
value = dict(zip(args, args[1:]))
if os.environ.get('FAIL') == name + value.get('--work-dir', '')[-6:]:
    sys.exit('the stand-in was told to fail')
if name == 'make_corpus':
    Path(value['--out']).mkdir(parents=True)
elif name == 'train_tokenizer':
    Path(value['--out']).write_text('a\\n')
elif name == 'train':
    folder = Path(value['--work-dir'])
    folder.mkdir(parents=True, exist_ok=True)
    if folder.name == 'stage2':  # as the config of stage 2 does
        (Path(os.environ['OMNIVL_DEMO_WORK_DIR']) / 'stage1/last_checkpoint').read_text()
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    if os.environ.get('HANG') == folder.name:
        print('training', flush=True)
        time.sleep(60)
elif name == 'test':
    Path(value['--work-dir']).mkdir(parents=True)
elif name == 'make_report':
    (Path(value['--work-dir']) / 'report.html').write_text('')
"""
TOOLS = ['make_corpus', 'train_tokenizer', 'train', 'train', 'test', 'make_report']


class Checkout:
    """A checkout with stand-in tools, in a folder with a space in its name."""

    def __init__(self, root: Path) -> None:
        self.root = root / 'a checkout'
        demo = ('configs', 'corpus', 'report')
        for folder in ('tools', 'omnivl/evaluation', *(f'projects/demo/{name}' for name in demo)):
            (self.root / folder).mkdir(parents=True)
        (self.root / 'setup.py').write_text('')
        for name in ('quickstart.sh', 'steps.sh', 'environment.sh'):
            shutil.copy(ROOT / 'tools' / name, self.root / 'tools')
        for name in set(TOOLS):
            folder = 'projects/demo' if name.startswith('make') else 'tools'
            (self.root / folder / f'{name}.py').write_text(STAND_IN)
        for name in ('pretrain_image', 'pretrain_joint'):
            (self.root / f'projects/demo/configs/{name}.py').write_text('train_cfg = dict(max_iters=10)\n')
        self.calls_file = root / 'calls'
        self.env = {**os.environ, 'OMNIVL_VENV': sys.prefix, 'CALLS': str(self.calls_file)}
        for name in ('QUICKSTART_SMOKE', 'QUICKSTART_DATA', 'QUICKSTART_WORK_DIR'):
            self.env.pop(name, None)
        self.work_dir = self.root / 'work_dirs/demo'

    def start(self, **env: str) -> subprocess.Popen:
        """Start the script, as the leader of its own process group."""
        return subprocess.Popen(
            ['bash', self.root / 'tools/quickstart.sh'],
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, **env: str) -> tuple[int, str, list[list[str]]]:
        """Run the script to its end; returns exit code, output and the calls of tools it made."""
        self.calls_file.write_text('')
        process = self.start(**env)
        output = process.communicate(timeout=120)[0]
        return process.returncode, output, self.calls()

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    def seconds(self) -> dict[str, float]:
        return json.loads((self.work_dir / 'seconds.json').read_text())


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_every_step_runs_once_and_is_skipped_on_a_second_run(checkout):
    code, output, calls = checkout.run()
    assert code == 0, output
    assert [call[0] for call in calls] == TOOLS
    assert set(checkout.seconds()) == {'corpus', 'vocabulary', 'stage1', 'stage2', 'test', 'report'}
    for number in range(1, 8):
        assert f'[{number}/7]' in output
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
    code, output, _ = checkout.run(FAIL='trainstage2')
    assert code == 1
    assert 'stopped in step 5 of 7 (stage2), exit code 1' in output
    assert 'logs/stage2.log' in output and 'run the same command again' in output
    assert 'told to fail' in (checkout.work_dir / 'logs/stage2.log').read_text()

    code, output, calls = checkout.run()
    assert code == 0 and output.count('already done, skipped') == 3
    assert [call[0] for call in calls] == TOOLS[3:]


def test_interrupted_training_is_resumed_and_its_seconds_add_up(checkout):
    process = checkout.start(HANG='stage1')
    for line in process.stdout:
        if line.startswith('training'):
            break
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 130 and 'stopped in step 4 of 7 (stage1)' in output
    before = checkout.seconds()['stage1']
    assert before >= 1.5

    code, output, calls = checkout.run()
    assert code == 0 and 'resuming from' in output
    assert '--resume' in calls[0]
    assert checkout.seconds()['stage1'] > before


def test_changed_settings_redo_the_step_and_what_depends_on_it_and_keep_the_old_output(checkout):
    checkout.run()
    config = checkout.root / 'projects/demo/configs/pretrain_joint.py'
    config.write_text(config.read_text() + '# a comment changes nothing\n')
    assert checkout.run()[2] == []
    config.write_text('train_cfg = dict(max_iters=20)\n')
    code, output, calls = checkout.run()
    assert code == 0, output
    assert [call[0] for call in calls] == TOOLS[3:]
    assert '--resume' not in calls[0]
    assert (checkout.work_dir / 'stage2.old1/last_checkpoint').exists()


def test_a_folder_that_is_not_a_demo_corpus_is_kept(checkout, tmp_path):
    mine = tmp_path / 'mine'
    mine.mkdir()
    (mine / 'precious.txt').write_text('kept')
    code, output, _ = checkout.run(QUICKSTART_DATA=str(mine))
    assert code == 0, output
    assert (tmp_path / 'mine.old1/precious.txt').read_text() == 'kept'


def test_a_config_that_cannot_be_read_stops_before_anything_is_set_aside(checkout):
    checkout.run()
    config = checkout.root / 'projects/demo/configs/pretrain_image.py'
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
    for name in ('bash', 'mkdir', 'date', 'awk', 'dirname', 'cat', 'cksum', 'tr', 'tee', 'rm'):
        (programs / name).symlink_to(shutil.which(name))
    if script:
        (programs / 'python3').write_text(script)
        (programs / 'python3').chmod(0o755)
    code, output, _ = checkout.run(PATH=str(programs), OMNIVL_VENV=str(tmp_path / 'new'))
    assert code == 1 and message in output


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_smoke_run_of_the_real_thing(tmp_path):
    """Corpus, vocabulary, both stages, evaluation and report with the real tools, then once more with nothing to do."""
    link = tmp_path / 'a checkout'  # the script has to live with spaces in its path
    link.symlink_to(ROOT)
    work_dir = tmp_path / 'work dir'
    env = {
        **os.environ,
        'OMNIVL_VENV': sys.prefix,
        'QUICKSTART_SMOKE': '1',
        'QUICKSTART_DATA': str(tmp_path / 'the data'),
        'QUICKSTART_WORK_DIR': str(work_dir),
    }
    command = ['bash', str(link / 'tools/quickstart.sh')]
    first = subprocess.run(command, env=env, capture_output=True, text=True)
    assert first.returncode == 0, first.stdout[-6000:] + first.stderr[-3000:]
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    for modality, directions in (('image', 't2i i2t'), ('video', 't2v v2t')):
        for direction in directions.split():
            for k in (1, 5, 10):
                assert 0 <= metrics[modality]['retrieval'][f'{direction}_r{k}'] <= 100
                assert 0 <= metrics[modality]['retrieval'][f'{direction}_r{k}_reranked'] <= 100
                assert 0 < metrics['chance'][modality]['retrieval'][f'{direction}_r{k}'] <= 100
        assert 0 <= metrics[modality]['caption']['slots'] <= 100
        assert 0 <= metrics[modality]['zero_shot']['top1'] <= 100
    assert {'corpus', 'vocabulary', 'stage1', 'stage2', 'test'} <= set(metrics['seconds'])
    page = (work_dir / 'report.html').read_text(encoding='utf-8')
    assert page.count('<img') > 10 and page.count('<svg') > 3

    second = subprocess.run(command, env=env, capture_output=True, text=True)
    assert second.returncode == 0 and second.stdout.count('already done, skipped') == 6
