"""The script of all downstream tasks: its bookkeeping, on stand-in tools."""

import os
import signal
from pathlib import Path

import pytest
from stand_ins import QUICKSTART, Checkout

TRAINED = [
    *('image_retrieval', 'video_retrieval', 'image_caption', 'video_caption', 'vqa', 'video_qa'),
    *('image_classification', 'action_recognition'),
]
TASKS = [*TRAINED, 'video_multiple_choice', 'linear_probe']


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path, 'demo_tasks.sh', 'work_dirs/demo_tasks', ['pretrain_image', 'pretrain_joint', *TASKS])


def names_of(calls: list[list[str]]) -> list[str]:
    return [call[0] for call in calls]


def after_quickstart(calls: list[list[str]]) -> list[list[str]]:
    """Leave out the calls of a first run of the quickstart."""
    assert names_of(calls)[: len(QUICKSTART)] == QUICKSTART
    return calls[len(QUICKSTART) :]


def folder_of(call: list[str]) -> str:
    return '/'.join(Path(call[call.index('--work-dir') + 1]).parts[-3:])


def test_all_tasks_are_trained_twice_and_tested_twice_and_skipped_on_a_second_run(checkout):
    code, output, calls = checkout.run()
    assert code == 0, output
    names = names_of(after_quickstart(calls))
    assert names[0] == 'make_tasks' and names[-1] == 'collect_tasks'
    assert names.count('train') == 2 * len(TRAINED) and names.count('test') == 2 * len(TASKS)
    total = 3 + 2 * len(TRAINED) + 2 * len(TASKS)
    assert all(f'[{number}/{total}]' in output for number in range(1, total + 1))
    assert 'report.html' in output.splitlines()[-3]
    assert {'corpus', 'vqa/finetuned', 'vqa/from_scratch', 'vqa/finetuned/test', 'report'} <= set(checkout.seconds())

    code, output, calls = checkout.run()
    assert code == 0 and calls == []
    assert output.count('skipped') == total


def test_what_is_trained_from_where_and_what_is_tested(checkout):
    code, output, calls = checkout.run(DEMO_TASKS='video_multiple_choice linear_probe')
    assert code == 0, output
    calls = after_quickstart(calls)
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
    assert tested['linear_probe/finetuned/test'][1] == 'work_dirs/demo/stage2/iter_1.pth'


def test_a_training_that_two_tasks_share_is_done_once(checkout):
    code, output, calls = checkout.run(DEMO_TASKS='video_multiple_choice video_retrieval')
    assert code == 0, output
    names = names_of(after_quickstart(calls))
    assert names.count('train') == 2 and names.count('test') == 4
    assert '[9/9]' in output


def test_an_unknown_task_is_refused_before_anything_is_made(checkout):
    code, output, calls = checkout.run(DEMO_TASKS='vqa retrieval')
    assert code == 1 and calls == []
    assert 'DEMO_TASKS has retrieval; there are: image_retrieval' in output
    assert not checkout.work_dir.exists()


def test_a_failing_step_says_which_and_the_rest_goes_on_from_there(checkout):
    code, output, _ = checkout.run(DEMO_TASKS='vqa video_qa', FAIL='train/video_qa/finetuned')
    assert code == 1
    assert 'demo_tasks stopped in step 8 of 11 (video_qa/finetuned), exit code 1' in output
    assert 'logs/video_qa/finetuned.log' in output and 'run the same command again' in output
    code, output, calls = checkout.run(DEMO_TASKS='vqa video_qa')
    assert code == 0, output
    assert names_of(calls) == ['train', 'test', 'test', 'collect_tasks']


def test_interrupted_training_is_resumed(checkout):
    process = checkout.start(DEMO_TASKS='vqa', HANG='train/vqa/finetuned')
    for line in process.stdout:
        if line.startswith('training'):
            break
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 130 and '(vqa/finetuned)' in output
    code, output, calls = checkout.run(DEMO_TASKS='vqa')
    assert code == 0 and 'resuming from' in output
    assert '--resume' in calls[0] and folder_of(calls[0]).endswith('vqa/finetuned')


def test_changed_settings_redo_one_task_and_keep_its_old_training(checkout):
    checkout.run(DEMO_TASKS='vqa video_qa')
    checkout.config('vqa').write_text('train_cfg = dict(max_iters=20)\n')
    code, output, calls = checkout.run(DEMO_TASKS='vqa video_qa')
    assert code == 0, output
    assert names_of(calls) == ['train', 'train', 'test', 'test', 'collect_tasks']
    assert all('demo_tasks/vqa/' in call[call.index('--work-dir') + 1] for call in calls[:-1])
    assert (checkout.work_dir / 'vqa/finetuned.old1/last_checkpoint').exists()


def test_another_pretrained_model_redoes_all_tasks(checkout):
    checkout.run(DEMO_TASKS='vqa')
    checkout.config('pretrain_joint').write_text('train_cfg = dict(max_iters=20)\n')
    code, output, calls = checkout.run(DEMO_TASKS='vqa')
    assert code == 0, output
    assert names_of(calls) == [*QUICKSTART[3:], 'train', 'train', 'test', 'test', 'collect_tasks']


def test_changed_code_of_the_model_redoes_all_trainings_and_no_corpus(checkout):
    checkout.run(DEMO_TASKS='vqa')
    (checkout.root / 'omnivl/models/omnivl.py').write_text('width = 2\n')
    code, output, calls = checkout.run(DEMO_TASKS='vqa')
    assert code == 0, output
    assert names_of(calls) == [*QUICKSTART[2:], 'train', 'train', 'test', 'test', 'collect_tasks']


def test_an_unfinished_pretraining_is_finished_first(checkout):
    checkout.run(DEMO_TASKS='vqa')
    (checkout.root / 'work_dirs/demo/steps/stage2.done').unlink()
    code, output, calls = checkout.run(DEMO_TASKS='vqa')
    assert code == 0 and names_of(calls) == ['train'] and '--resume' in calls[0], output


def test_smoke_has_folders_of_its_own_and_few_steps(checkout):
    code, output, calls = checkout.run(DEMO_TASKS='vqa', DEMO_TASKS_SMOKE='1')
    assert code == 0, output
    corpus, train, *_ = after_quickstart(calls)
    assert '--smoke' in corpus and 'data/demo_tasks_smoke' in corpus
    assert 'train_cfg.max_iters=4' in train and 'param_scheduler=[]' in train
    assert (checkout.root / 'work_dirs/demo_smoke/stage2').exists()
    assert not checkout.work_dir.exists()
