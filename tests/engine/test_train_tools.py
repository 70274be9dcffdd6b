"""The command line: train, resume, test, several processes."""

import json
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toys
from forked import forking_python

from omnivl.commands.errors import one_line_errors
from omnivl.datasets import AnnotationError, BrokenVisualError
from omnivl.engine import ConfigError, read_config
from omnivl.engine.evaluation_loop import flat_names, nested
from omnivl.errors import OmniVLKeyError
from omnivl.storage import load_checkpoint, save_checkpoint

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


def test_a_changed_bit_of_a_checkpoint_is_noticed_or_means_nothing(monkeypatch, tmp_path, config_file, each_flip):
    call(monkeypatch, 'train.py', config_file, '--cfg-options', 'train_cfg.max_iters=1')
    checkpoint = tmp_path / 'run/iter_1.pth'
    words = ('test.py', config_file, checkpoint, '--work-dir', tmp_path / 'test')
    call(monkeypatch, *words)
    expected, noticed = metrics(tmp_path / 'test')['image'], 0
    for place in each_flip([checkpoint]):
        (tmp_path / 'test/metrics.json').unlink(missing_ok=True)
        try:
            call(monkeypatch, *words)
        except SystemExit as ended:
            assert str(ended).startswith(f'error: {checkpoint} is ') or 'cannot be read' in str(ended), place
            noticed += 1
        else:
            assert metrics(tmp_path / 'test')['image'] == expected, place
    assert noticed >= 40


@pytest.mark.parametrize(
    ('tool', 'arguments', 'message'),
    [
        ('train.py', ['CONFIG', '--cfg-options', 'train_cfg.max_iter=3'], "did you mean 'max_iters'"),
        ('train.py', ['nowhere.py'], 'nowhere.py'),
        ('train.py', ['CONFIG', '--resume', 'nowhere.pth'], 'there is no checkpoint nowhere.pth'),
        ('test.py', ['CONFIG', 'nowhere.pth'], 'there is no checkpoint nowhere.pth'),
        ('test.py', ['CONFIG'], 'which weights? python tools/test.py '),
        ('test.py', ['CONFIG', '.'], 'there is no checkpoint in the folder .'),
        (
            'test.py',
            ['CONFIG', 'random', '--submit'],
            "nothing to submit: ['image.toy'] of test_evaluator have no form",
        ),
        ('test.py', ['CONFIG', 'random', '--cfg-options', 'test_dataloader=None'], 'nothing to test on'),
        (
            'test.py',
            ['CONFIG', 'random', '--cfg-options', 'test_evaluator=None'],
            'has no test_evaluator: nothing to test on',
        ),
        ('test.py', ['CONFIG', 'random', '--cfg-options', 'test_cfg.amp=int8'], "test_cfg.amp is 'int8'; allowed: "),
        (
            'test.py',
            ['CONFIG', 'random', '--cfg-options', 'test_evaluator=ToyEvaluation'],
            "must be dicts with the same names; got ['image.toy'] and str",
        ),
        ('train.py', ['CONFIG', '--cfg-options', 'train_dataloader=None'], 'it only tests, see python tools/test.py'),
    ],
)
def test_mistakes_end_with_one_line(monkeypatch, config_file, tool, arguments, message):
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, tool, *[config_file if argument == 'CONFIG' else argument for argument in arguments])
    assert str(caught.value).startswith('error: ') and message in str(caught.value)


@pytest.mark.parametrize(
    ('evaluation', 'message'),
    [
        (dict(type='LinearProbeEvaluation'), r"__init__\(\) missing 1 required positional argument: 'train'"),
        (dict(type='LinearProb'), 'LinearProb is not in the'),
    ],
)
def test_a_component_without_what_it_needs(monkeypatch, config_file, evaluation, message):
    with config_file.open('a') as file:
        file.write(f'\ntest_evaluator["image.toy"] = {evaluation!r}\n')
    with pytest.raises(SystemExit, match=f'^error: the config cannot be built: .*{message}'):
        call(monkeypatch, 'test.py', config_file, 'random')


class BrokenData(torch.utils.data.Dataset):
    """One item, which is broken."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise self.error


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (BrokenVisualError('a.jpg', 'there is no such file'), 'a.jpg: there is no such file'),
        (AnnotationError('a.json', 3, 'image', 'no path'), "a.json, row 3, field 'image': no path"),
        (OmniVLKeyError("there is no 'x'"), "there is no 'x'"),
    ],
)
def test_an_error_in_a_worker_ends_with_one_line(workers, error, line):
    with pytest.raises(SystemExit) as caught, one_line_errors():
        next(iter(torch.utils.data.DataLoader(BrokenData(error), num_workers=workers)))
    assert str(caught.value) == f'error: {line}'


@pytest.mark.parametrize('mistake', [lambda: dim_of(None), lambda: torch.zeros(2) @ torch.zeros(3), lambda: {}['x']])
def test_mistakes_of_the_code_keep_their_traceback(mistake):
    with pytest.raises((AttributeError, KeyError, RuntimeError)), one_line_errors():
        mistake()


def dim_of(value):
    return value.dim()


def test_an_error_of_python_inside_omnivl_is_no_message():
    with pytest.raises(ValueError, match='could not convert'), one_line_errors():
        flat_names('name', {'r1': 'high'})
    with pytest.raises(SystemExit, match=r'^error: .* is below another metric'), one_line_errors():
        nested({'a.b': 1, 'a.b.c': 2})


def test_the_config_that_a_run_leaves_can_be_tested_with(monkeypatch, tmp_path, config_file):
    with config_file.open('a') as file:
        file.write("\ntest_cfg = dict(type='omnivl.engine.EvaluationLoop')\n")  # whole paths, as in a dump
    call(monkeypatch, 'train.py', config_file, '--cfg-options', 'train_cfg.max_iters=1')
    call(monkeypatch, 'test.py', tmp_path / 'run' / config_file.name, tmp_path / 'run', '--work-dir', tmp_path / 'test')
    assert 'toy' in metrics(tmp_path / 'test')['image']


@pytest.mark.parametrize('suffix', ['json', 'yaml'])
def test_a_dump_that_names_what_is_registered_trains_and_tests_behind_the_fence(
    monkeypatch, tmp_path, config_file, suffix
):
    cfg = read_config(config_file)
    cfg.custom_imports = None
    dump, run = tmp_path / f'dump.{suffix}', tmp_path / 'run'
    cfg.dump(dump)
    call(monkeypatch, 'train.py', dump, '--cfg-options', 'train_cfg.max_iters=1')
    call(monkeypatch, 'test.py', dump, run, '--work-dir', tmp_path / 'test')
    assert 'toy' in metrics(tmp_path / 'test')['image']
    cfg.custom_imports = dict(imports=['toys'], allow_failed_imports=False)
    cfg.dump(dump)
    with pytest.raises(SystemExit, match=r'^error: .*: custom_imports is there.*--trust-code'):
        call(monkeypatch, 'test.py', dump, run)
    call(monkeypatch, 'test.py', dump, run, '--trust-code', '--work-dir', tmp_path / 'trusted')
    assert metrics(tmp_path / 'trusted')['image'] == metrics(tmp_path / 'test')['image']


@pytest.mark.parametrize(
    'words',
    [
        'train.py CONFIG',
        'test.py CONFIG random',
        'export_weights.py CONFIG a.pth --out out',
        'convert_weights.py --from timm a.pth --config CONFIG --out out.pth',
        'browse_dataset.py CONFIG',
        'verify_data.py CONFIG',
        'get_flops.py CONFIG',
        'infer.py CONFIG a.pth --task caption a.png',
    ],
)
def test_every_command_has_the_fence(monkeypatch, capsys, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    loader = dict(image=dict(dataset=dict(type='os.system', command='touch trace')))
    model = dict(type='os.system', command='touch trace')
    Path('a.json').write_text(json.dumps(dict(model=model, train_dataloader=loader)))
    tool, *arguments = words.replace('CONFIG', 'a.json').split()
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, tool, *arguments)
    said = f'{ended.value}{capsys.readouterr().err}'
    assert "error: a.json is data and may only name registered components: model.type is 'os.system'" in said
    assert not Path('trace').exists()
    with pytest.raises(SystemExit):
        call(monkeypatch, tool, '--help')
    assert '--trust-code' in capsys.readouterr().out


def test_the_config_that_a_checkpoint_carries_is_never_run(monkeypatch, tmp_path, config_file):
    call(monkeypatch, 'train.py', config_file, '--cfg-options', 'train_cfg.max_iters=1')
    checkpoint = tmp_path / 'run/iter_1.pth'
    content = load_checkpoint(checkpoint)
    content['meta']['cfg'] = f"import os\nos.system('touch {tmp_path}/trace')\ncustom_imports = dict(imports=['evil'])"
    save_checkpoint(content, checkpoint)
    call(monkeypatch, 'test.py', config_file, checkpoint)
    call(monkeypatch, 'train.py', config_file, '--resume', checkpoint, '--cfg-options', 'train_cfg.max_iters=2')
    assert (tmp_path / 'run/iter_2.pth').exists() and not (tmp_path / 'trace').exists()


def metrics(folder):
    return json.loads((folder / 'metrics.json').read_text())


def test_the_last_checkpoint_of_a_work_directory(monkeypatch, tmp_path, config_file):
    run = tmp_path / 'run'
    call(monkeypatch, 'train.py', config_file, '--cfg-options', 'train_cfg.max_iters=2')
    call(monkeypatch, 'test.py', config_file, run)
    assert metrics(run / 'test')['run']['checkpoint'] == str(run / 'iter_2.pth')
    first = metrics(run / 'test')['image']
    config_file.unlink()
    call(monkeypatch, 'test.py', run, '--work-dir', tmp_path / 'alone')
    assert metrics(tmp_path / 'alone')['image'] == first


def test_random_weights_are_those_that_training_from_scratch_begins_with(monkeypatch, tmp_path, config_file):
    options = ('--cfg-options', 'train_cfg.max_iters=1', 'optim_wrapper.optimizer.lr=0')
    call(monkeypatch, 'train.py', config_file, *options)
    figures = {}
    for name, arguments in dict(
        untrained=(tmp_path / 'run/iter_1.pth',),
        random=('random',),
        again=('random',),
        other=('random', '--cfg-options', 'randomness.seed=8'),
    ).items():
        call(monkeypatch, 'test.py', config_file, *arguments, '--work-dir', tmp_path / name)
        figures[name] = metrics(tmp_path / name)['image']['toy']['r1']
    assert figures['random'] == figures['again'] == figures['untrained'] != figures['other']
    assert metrics(tmp_path / 'other')['run']['checkpoint'] == 'random (seed 8)'


@pytest.fixture
def bare_file(tmp_path, config_file):
    """The config without all that only training needs."""
    path = tmp_path / 'test_only.py'
    keys = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
    path.write_text('\n'.join(line for line in config_file.read_text().splitlines() if not line.startswith(keys)))
    return path


def test_a_config_that_only_tests(monkeypatch, tmp_path, config_file, bare_file):
    run = tmp_path / 'run'
    call(monkeypatch, 'train.py', config_file, '--cfg-options', 'train_cfg.max_iters=1')
    call(monkeypatch, 'test.py', bare_file, run / 'iter_1.pth', '--work-dir', tmp_path / 'test')
    with pytest.raises(SystemExit, match=r'it only tests, see python tools/test\.py .*test_only\.py CHECKPOINT'):
        call(monkeypatch, 'train.py', bare_file)
    with pytest.raises(SystemExit, match='which weights'):
        call(monkeypatch, 'test.py', bare_file)
    with bare_file.open('a') as file:
        file.write(f'\nload_from = {str(run / "iter_1.pth")!r}\n')
    call(monkeypatch, 'test.py', bare_file, '--work-dir', tmp_path / 'own')
    figures = [metrics(tmp_path / name) for name in ('test', 'own')]
    assert figures[0]['image'] == figures[1]['image']
    assert figures[0]['run']['checkpoint'] == figures[1]['run']['checkpoint']


def test_a_config_that_only_tests_may_say_how_weights_are_read(monkeypatch, tmp_path, bare_file):
    with bare_file.open('a') as file:
        file.write("\nload_from = dict(type='ToyReader', file='of_the_config')\n")
    call(monkeypatch, 'test.py', bare_file, '--work-dir', tmp_path / 'own')
    call(monkeypatch, 'test.py', bare_file, 'given', '--work-dir', tmp_path / 'given')
    assert metrics(tmp_path / 'own')['run']['checkpoint'] == 'ToyReader(of_the_config)'
    assert metrics(tmp_path / 'given')['run']['checkpoint'] == 'ToyReader(given)'


def test_what_the_server_takes(monkeypatch, tmp_path, config_file):
    with config_file.open('a') as file:
        file.write("\ntest_evaluator['image.toy']['answers'] = True\n")
    call(monkeypatch, 'test.py', config_file, 'random', '--work-dir', tmp_path / 'test', '--submit')
    written = json.loads((tmp_path / 'test/submission/toy_results.json').read_text())
    assert written == ['0', '1', '2']
    call(monkeypatch, 'test.py', config_file, 'random', '--submit', tmp_path / 'there')
    assert json.loads((tmp_path / 'there/toy_results.json').read_text()) == written


def test_what_no_server_takes_does_not_cost_the_figures(monkeypatch, tmp_path, config_file):
    def submission(evaluation, predictions):
        if predictions:
            raise ConfigError('an image has no number')
        return []

    monkeypatch.setattr(toys.ToyEvaluation, 'submission', submission)
    with pytest.raises(SystemExit, match='error: an image has no number'):
        call(monkeypatch, 'test.py', config_file, 'random', '--work-dir', tmp_path / 'test', '--submit')
    assert 'toy' in metrics(tmp_path / 'test')['image'] and (tmp_path / 'test/predictions/image.toy.json').exists()


def test_a_work_directory_that_cannot_be_made(monkeypatch, tmp_path, config_file):
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match=r'^error: .*file'):
        call(monkeypatch, 'test.py', config_file, 'random', '--work-dir', tmp_path / 'file/test')


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_training_on_what_is_tested_is_refused(monkeypatch, tmp_path, config_file, tool):
    (tmp_path / 'list.json').write_text('[{"image": "a.jpg", "caption": "a cat"}]')
    reader = f"dict(type='BLIPCaptionJSON', ann_file={str(tmp_path / 'list.json')!r}, visual_root={str(tmp_path)!r})"
    with config_file.open('a') as file:
        for role, kind in (('train', 'Pair'), ('test', 'Retrieval')):
            dataset = f"dict(type='{kind}Dataset', name='{role}', annotations={reader}, pipeline=[])"
            file.write(f"\n{role}_dataloader['image.toy'] = dict(dataset={dataset})\n")
    arguments = [config_file] if tool == 'train.py' else [config_file, 'random']
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, tool, *arguments)
    assert str(caught.value).startswith('error: training and evaluation share visuals:\n  1 of the 1 visuals')
    assert 'allow_train_test_overlap=True' in str(caught.value)


def test_a_launcher_that_launched_nothing(monkeypatch, config_file):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(SystemExit, match=r'the environment has no RANK: start the processes with torchrun'):
        call(monkeypatch, 'train.py', config_file, '--launcher', 'pytorch')


def run_script(script, *arguments):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    own = dict(PORT=str(port), PYTHONPATH=str(Path(__file__).parent), OMP_NUM_THREADS='1')
    command = ['bash', str(ROOT / 'tools' / script), *map(str, arguments)]
    with forking_python() as python:
        done = subprocess.run(command, env=os.environ | own | python, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_script_for_tests_starts_processes(monkeypatch, tmp_path, config_file):
    """One: several are in test_launchers.py, and their evaluation in test_distributed_evaluation.py."""
    call(monkeypatch, 'train.py', config_file, '--cfg-options', 'train_cfg.max_iters=2')
    run_script('dist_test.sh', config_file, tmp_path / 'run/iter_2.pth', 1, '--work-dir', tmp_path / 'test')
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
