"""Every kind of config of the project through the tools: training, resuming, testing, exporting, using."""

import json
import sys
from pathlib import Path

import pytest
import torch
from coca_runs import COLOURS, shrink, write_world

from omnivl.commands.main import run_command
from omnivl.engine import OmniVLRunner, check_config, read_config
from omnivl.engine.identity import plain
from omnivl.registry import MODELS
from omnivl.storage import load_checkpoint
from omnivl.weights import load_weights
from tests.forked import run_program

ROOT = Path(__file__).parents[3]
CONFIGS = Path('projects/coca/configs')
LOOPS = [f'{role}_{kind}' for role in ('train', 'val', 'test') for kind in ('dataloader', 'evaluator', 'cfg')]
KEPT = (
    *('model', 'optim_wrapper', 'param_scheduler', 'default_hooks', 'randomness', 'runner_type', 'default_scope'),
    *('env_cfg', 'allow_train_test_overlap', 'image_test_pipeline', 'video_test_pipeline', *LOOPS),
)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp('world')
    return root, write_world(root)


@pytest.fixture(autouse=True)
def from_root(monkeypatch):
    monkeypatch.chdir(ROOT)


TRAINED = {
    'caption_coco': ('loss_lm', 'image.caption.exact_beam'),
    'classify_imagenet': ('loss_class', 'image.classification.top1'),
    'classify_imagenet_frozen': ('loss_class', 'image.classification.top1'),
    'action_kinetics400': ('loss_class', 'video.classification.top1'),
    'action_kinetics400_frozen': ('loss_class', 'video.classification.top1'),
    'vqa_v2': ('loss_answer', 'image.qa.accuracy'),
}


@pytest.mark.parametrize('name', TRAINED)
def test_each_finetuning_trains_and_tests(name, world, tmp_path):
    cfg = shrink(read_config(CONFIGS / f'{name}.py'), *world)
    cfg.work_dir = str(tmp_path)
    check_config(cfg)
    runner = OmniVLRunner.from_cfg(cfg)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    loss, figure = TRAINED[name]
    assert f'train/{loss}' in runner.message_hub.log_scalars
    moved = {key for key, value in runner.model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved and any(key.startswith('trunk.') for key in moved) == ('frozen' not in name)
    metrics = runner.test()
    assert figure in metrics


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['omnivl', *map(str, arguments[1:])])
    run_command(arguments[0])


@pytest.fixture(scope='module')
def pretraining(world, tmp_path_factory):
    """The config of the pretraining, tiny, as a file."""
    file = tmp_path_factory.mktemp('config') / 'tiny.py'
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        cfg = shrink(read_config(CONFIGS / 'pretrain.py'), *world)
    cfg.train_cfg.max_iters = 4
    cfg.default_hooks.checkpoint.interval = 2
    lines = [f'{key} = {plain(cfg[key])!r}' for key in KEPT if key in cfg]
    file.write_text('\n'.join(lines))
    return file


def test_pretraining_is_resumed_tested_exported_and_used(monkeypatch, world, tmp_path, pretraining, capsys):
    run, whole = tmp_path / 'run', tmp_path / 'whole'
    call(monkeypatch, 'train', pretraining, '--work-dir', run, '--cfg-options', 'train_cfg.max_iters=2')
    call(monkeypatch, 'train', pretraining, '--work-dir', run, '--resume')
    call(monkeypatch, 'train', pretraining, '--work-dir', whole)
    weights = [load_checkpoint(folder / 'iter_4.pth')['state_dict'] for folder in (run, whole)]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())

    call(monkeypatch, 'test', pretraining, run, '--work-dir', tmp_path / 'test')
    metrics = json.loads((tmp_path / 'test' / 'metrics.json').read_text())
    assert {'coco.retrieval', 'coco.caption', 'imagenet.zero_shot'} <= set(str(metrics).replace("'", ' ').split())

    call(monkeypatch, 'export', run, '--out', tmp_path / 'exported')
    capsys.readouterr()
    # A process that has not read a config of the project finds its parts all the same, for a run and for an export.
    for model in (run, tmp_path / 'exported'):
        script = (
            'import sys\nfrom omnivl.engine.identity import open_own\nprint(type(open_own(sys.argv[1])[0]).__name__)'
        )
        (tmp_path / 'own.py').write_text(script)
        code, said = run_program(tmp_path / 'own.py', model, cwd=tmp_path)
        assert code == 0 and said.split()[-1:] == ['CoCaPretrain'], said

    picture, answers = world[0] / 'images/colour/red.png', []
    for model in ([tmp_path / 'exported'], [pretraining, run]):
        found = {}
        call(monkeypatch, 'caption', *model, picture, '--out', tmp_path / 'caption.json')
        found['caption'] = json.loads((tmp_path / 'caption.json').read_text())[0]
        names = [word for name in COLOURS for word in ('--text', name)]
        call(monkeypatch, 'classify', *model, picture, world[0] / 'blue.mp4', *names, '--out', tmp_path / 'class.json')
        found['classes'] = json.loads((tmp_path / 'class.json').read_text())
        searched = ['--text', 'a photo of blue', '--out', tmp_path / 'found.json']
        call(monkeypatch, 'retrieve', *model, picture.parent, *searched)
        found['results'] = json.loads((tmp_path / 'found.json').read_text())
        answers.append(found)
    assert answers[0]['caption']['caption'] == answers[1]['caption']['caption']
    assert answers[0]['caption']['score'] == pytest.approx(answers[1]['caption']['score'], abs=1e-4)
    for one, other in zip(answers[0]['classes'], answers[1]['classes']):
        assert one['predicted'] in COLOURS and one['scores'] == pytest.approx(other['scores'], abs=1e-4)

    assert str(answers[0]['results']) == str(answers[1]['results']) and 'red.png' in str(answers[0]['results'])

    # What is finetuned begins with it, whatever parts it has and leaves out.
    for name in ('caption_coco', 'classify_imagenet', 'vqa_v2'):
        cfg = shrink(read_config(CONFIGS / f'{name}.py'), *world)
        model = MODELS.build(cfg.model)
        load_weights(model, dict(type='StageReader', file=str(run)), show=lambda _: None)
        for key, value in model.state_dict().items():
            if key.startswith('trunk.'):
                assert torch.equal(value, weights[0][key])


def test_sizes_are_the_papers():
    """Image encoders of 86 M, 303 M and 1 B, a decoder of 484 M at large size (table 1 of 2205.01917)."""
    expected = dict(coca_base=(86, None), coca_large=(303, 484), coca_2b=(1012, None))
    for name, (image, decoder) in expected.items():
        with torch.device('meta'):
            parts = MODELS.build(read_config(CONFIGS / f'_base_/models/{name}.py').model).parts
        sizes = {part: sum(one.numel() for one in module.parameters()) / 1e6 for part, module in parts.items()}
        assert sizes['visual_encoder'] == pytest.approx(image, abs=0.7)
        if decoder is not None:
            assert sizes['text_encoder'] + sizes['text_decoder'] == pytest.approx(decoder, abs=0.7)
