"""The script of all downstream tasks: its bookkeeping, on stand-in tools."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TRAINED = [
    *('image_retrieval', 'video_retrieval', 'image_caption', 'video_caption', 'vqa', 'video_qa'),
    *('image_classification', 'action_recognition'),
]
TASKS = [*TRAINED, 'video_multiple_choice', 'linear_probe']

# Stand-ins that note their calls and leave what the real tools would leave.
STAND_IN = """
import json, os, sys, time
from pathlib import Path
name, args = Path(sys.argv[0]).stem, sys.argv[1:]
with open(os.environ['CALLS'], 'a') as file:
    file.write(json.dumps([name, *args]) + '\\n')
value = dict(zip(args, args[1:]))
folder = Path(value.get('--work-dir', value.get('--out')))
folder.mkdir(parents=True, exist_ok=True)
place = '/'.join([name, *folder.parts[-2:]])
if os.environ.get('FAIL') == place:
    sys.exit('the stand-in was told to fail')
if name == 'train':
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    if os.environ.get('HANG') == place:
        print('training', flush=True)
        time.sleep(60)
elif name == 'collect_tasks':
    (folder / 'report.html').write_text('')
"""
QUICKSTART = """
echo quickstart >>"$CALLS"
mkdir -p "$OMNIVL_DEMO_WORK_DIR/steps" "$OMNIVL_DEMO_WORK_DIR/stage2"
echo key >"$OMNIVL_DEMO_WORK_DIR/steps/stage2.done"
echo /elsewhere/iter_9.pth >"$OMNIVL_DEMO_WORK_DIR/stage2/last_checkpoint"
"""


class Checkout:
    """A checkout with stand-in tools, in a folder with a space in its name."""

    def __init__(self, root: Path) -> None:
        self.root = root / 'a checkout'
        demo = ('configs', 'corpus/tasks', 'report')
        for folder in ('tools', 'omnivl/evaluation', *(f'projects/demo/{name}' for name in demo)):
            (self.root / folder).mkdir(parents=True)
        (self.root / 'setup.py').write_text('')
        for name in ('demo_tasks.sh', 'steps.sh', 'environment.sh'):
            shutil.copy(ROOT / 'tools' / name, self.root / 'tools')
        (self.root / 'tools/quickstart.sh').write_text(QUICKSTART)
        for name in ('make_tasks', 'train', 'test', 'collect_tasks'):
            folder = 'projects/demo' if name.endswith('tasks') else 'tools'
            (self.root / folder / f'{name}.py').write_text(STAND_IN)
        for name in TASKS:
            (self.root / f'projects/demo/configs/{name}.py').write_text('train_cfg = dict(max_iters=10)\n')
        self.calls_file = root / 'calls'
        self.env = {**os.environ, 'OMNIVL_VENV': sys.prefix, 'CALLS': str(self.calls_file)}
        for name in [name for name in self.env if name.startswith(('DEMO_TASKS', 'QUICKSTART'))]:
            del self.env[name]
        self.work_dir = self.root / 'work_dirs/demo_tasks'

    def start(self, tasks: str = '', **env: str) -> subprocess.Popen:
        """Start the script, as the leader of its own process group."""
        return subprocess.Popen(
            ['bash', self.root / 'tools/demo_tasks.sh'],
            env={**self.env, 'DEMO_TASKS': tasks, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, tasks: str = '', **env: str) -> tuple[int, str, list[list[str]]]:
        """Run the script to its end; returns exit code, output and the calls of tools it made."""
        self.calls_file.write_text('')
        process = self.start(tasks, **env)
        output = process.communicate(timeout=120)[0]
        return process.returncode, output, self.calls()

    def calls(self) -> list[list[str]]:
        lines = self.calls_file.read_text().splitlines()
        return [json.loads(line) if line.startswith('[') else [line] for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def folder_of(call: list[str]) -> str:
    return '/'.join(Path(call[call.index('--work-dir') + 1]).parts[-3:])


def test_all_tasks_are_trained_twice_and_tested_twice_and_skipped_on_a_second_run(checkout):
    code, output, calls = checkout.run()
    assert code == 0, output
    names = [call[0] for call in calls]
    assert names[:2] == ['quickstart', 'make_tasks'] and names[-1] == 'collect_tasks'
    assert names.count('train') == 2 * len(TRAINED) and names.count('test') == 2 * len(TASKS)
    total = 4 + 2 * len(TRAINED) + 2 * len(TASKS)
    assert all(f'[{number}/{total}]' in output for number in range(1, total + 1))
    assert 'report.html' in output.splitlines()[-3]
    seconds = json.loads((checkout.work_dir / 'seconds.json').read_text())
    assert {'corpus', 'vqa/finetuned', 'vqa/from_scratch', 'vqa/finetuned/test', 'report'} <= set(seconds)

    code, output, calls = checkout.run()
    assert code == 0 and calls == []
    assert output.count('skipped') == total - 1


def test_what_is_trained_from_where_and_what_is_tested(checkout):
    code, output, calls = checkout.run('video_multiple_choice linear_probe')
    assert code == 0, output
    train = {folder_of(call): call for call in calls if call[0] == 'train'}
    assert set(train) == {f'demo_tasks/video_retrieval/{variant}' for variant in ('from_scratch', 'finetuned')}
    assert 'load_from=None' in train['demo_tasks/video_retrieval/from_scratch']
    assert '--cfg-options' not in train['demo_tasks/video_retrieval/finetuned']
    tested = {folder_of(call): call[1:3] for call in calls if call[0] == 'test'}
    for variant in ('from_scratch', 'finetuned'):
        config, checkpoint = tested[f'video_multiple_choice/{variant}/test']
        assert config == 'projects/demo/configs/video_multiple_choice.py'
        assert checkpoint.endswith(f'demo_tasks/video_retrieval/{variant}/iter_1.pth')
    assert tested['linear_probe/from_scratch/test'][1] == 'random'
    assert tested['linear_probe/finetuned/test'][1] == 'work_dirs/demo/stage2/iter_9.pth'


def test_a_training_that_two_tasks_share_is_done_once(checkout):
    code, output, calls = checkout.run('video_multiple_choice video_retrieval')
    assert code == 0, output
    assert [call[0] for call in calls].count('train') == 2
    assert [call[0] for call in calls].count('test') == 4
    assert '[10/10]' in output


def test_an_unknown_task_is_refused_before_anything_is_made(checkout):
    code, output, calls = checkout.run('vqa retrieval')
    assert code == 1 and calls == []
    assert 'DEMO_TASKS has retrieval; there are: image_retrieval' in output
    assert not checkout.work_dir.exists()


def test_a_failing_step_says_which_and_the_rest_goes_on_from_there(checkout):
    code, output, _ = checkout.run('vqa video_qa', FAIL='train/video_qa/finetuned')
    assert code == 1
    assert 'demo_tasks stopped in step 9 of 12 (video_qa/finetuned), exit code 1' in output
    assert 'logs/video_qa/finetuned.log' in output and 'run the same command again' in output
    code, output, calls = checkout.run('vqa video_qa')
    assert code == 0, output
    assert [call[0] for call in calls] == ['train', 'test', 'test', 'collect_tasks']


def test_interrupted_training_is_resumed(checkout):
    process = checkout.start('vqa', HANG='train/vqa/finetuned')
    for line in process.stdout:
        if line.startswith('training'):
            break
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 130 and '(vqa/finetuned)' in output
    code, output, calls = checkout.run('vqa')
    assert code == 0 and 'resuming from' in output
    assert '--resume' in calls[0] and folder_of(calls[0]).endswith('vqa/finetuned')


def test_changed_settings_redo_one_task_and_keep_its_old_training(checkout):
    checkout.run('vqa video_qa')
    (checkout.root / 'projects/demo/configs/vqa.py').write_text('train_cfg = dict(max_iters=20)\n')
    code, output, calls = checkout.run('vqa video_qa')
    assert code == 0, output
    assert [call[0] for call in calls] == ['train', 'train', 'test', 'test', 'collect_tasks']
    assert all('demo_tasks/vqa/' in call[call.index('--work-dir') + 1] for call in calls[:-1])
    assert (checkout.work_dir / 'vqa/finetuned.old1/last_checkpoint').exists()


def test_another_pretrained_model_redoes_all_tasks(checkout):
    checkout.run('vqa')
    (checkout.root / 'work_dirs/demo/steps/stage2.done').write_text('another key\n')
    code, output, calls = checkout.run('vqa')
    assert code == 0, output
    assert [call[0] for call in calls] == ['train', 'train', 'test', 'test', 'collect_tasks']


def test_an_unfinished_pretraining_is_finished_first(checkout):
    checkout.run('vqa')
    (checkout.root / 'work_dirs/demo/steps/stage2.done').unlink()
    code, output, calls = checkout.run('vqa')
    assert code == 0 and calls == [['quickstart']], output


def test_smoke_has_folders_of_its_own_and_few_steps(checkout):
    code, output, calls = checkout.run('vqa', DEMO_TASKS_SMOKE='1')
    assert code == 0, output
    assert '--smoke' in calls[1] and 'data/demo_tasks_smoke' in calls[1]
    assert 'train_cfg.max_iters=4' in calls[2] and 'param_scheduler=[]' in calls[2]
    assert (checkout.root / 'work_dirs/demo_smoke/stage2').exists()
    assert not checkout.work_dir.exists()
