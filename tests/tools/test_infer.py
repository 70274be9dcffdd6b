"""The command line of tools/infer.py; what the tasks themselves return is tested in tests/apis."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from omnivl.registry import MODELS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path, tiny_config):
    """Config and checkpoint of a tiny model for images."""
    config = tiny_config()
    pipeline = [
        dict(type='LoadImage'),
        dict(type='Resize', size=32),
        dict(type='TokenizeText', tokenizer=config['trunk']['tokenizer'], max_length=9),
        dict(type='PackSample'),
    ]
    (tmp_path / 'model.py').write_text(f'model = {config!r}\nimage_test_pipeline = {pipeline!r}\n')
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(config).state_dict()), tmp_path / 'model.pth')
    return tmp_path / 'model.py', tmp_path / 'model.pth'


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{number}.png')
    return folder


def infer(monkeypatch, capsys, *arguments):
    """Runs the tool; returns what it prints, line by line, as JSON."""
    monkeypatch.setattr(sys, 'argv', ['infer.py', *map(str, arguments), '--device', 'cpu'])
    runpy.run_path(str(ROOT / 'tools/infer.py'), run_name='__main__')
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_task(monkeypatch, capsys, model, photos):
    rows = infer(monkeypatch, capsys, *model, '--task', 'caption', photos, 'nowhere.png', '--method', 'greedy')
    assert [Path(row['input']).name for row in rows] == ['0.png', '1.png', '2.png', 'nowhere.png']
    assert all('caption' in row and 'score' in row for row in rows[:3]) and 'error' in rows[3]
    rows = infer(monkeypatch, capsys, *model, '--task', 'match', photos, '--text', 'w1', '--text', 'w2 w3')
    assert [[one['text'] for one in row['matches']] for row in rows] == [['w1', 'w2 w3']] * 3
    rows = infer(monkeypatch, capsys, *model, photos, '--task', 'match', '--text', 'w1')
    assert [row['text'] for row in rows] == ['w1'] * 3
    classes = ['--text', 'w1', '--text', 'w2', '--templates', 'w3 {}', '-k', '1']
    rows = infer(monkeypatch, capsys, *model, '--task', 'classify', *classes, photos)
    assert all(list(row['scores']) == [row['predicted']] for row in rows)
    rows = infer(monkeypatch, capsys, *model, '--task', 'features', photos / '0.png')
    assert len(rows[0]['feature']) == 8


def test_a_config_of_data(monkeypatch, capsys, tmp_path, model, photos):
    Config.fromfile(model[0]).dump(tmp_path / 'model.json')
    rows = infer(monkeypatch, capsys, tmp_path / 'model.json', model[1], '--task', 'features', photos)
    assert rows == infer(monkeypatch, capsys, *model, '--task', 'features', photos, '--trust-code')


def test_attention_is_drawn(monkeypatch, capsys, model, photos, tmp_path):
    words = [*model, '--task', 'attention', photos, 'nowhere.png', '--text', 'w1 w2 w3', '--pictures']
    rows = infer(monkeypatch, capsys, *words, tmp_path / 'all')
    assert [Path(row['picture']).name for row in rows[:3]] == ['0000.png', '0001.png', '0002.png']
    assert all(row['text'] == 'w1 w2 w3' for row in rows[:3]) and 'error' in rows[3]
    some = infer(monkeypatch, capsys, *words, tmp_path / 'some', '--word', 'w2', '--kind', 'contrast')
    assert Image.open(some[0]['picture']).width < Image.open(rows[0]['picture']).width


def test_classes_of_a_head(monkeypatch, capsys, tmp_path, tiny_config, photos):
    config = tiny_config('OmniVLClassifier', num_classes=4)
    pipeline = [dict(type='LoadImage'), dict(type='Resize', size=32), dict(type='PackSample')]
    (tmp_path / 'classifier.py').write_text(f'model = {config!r}\nimage_test_pipeline = {pipeline!r}\n')
    torch.save(dict(state_dict=MODELS.build(config).state_dict()), tmp_path / 'classifier.pth')
    words = [tmp_path / 'classifier.py', tmp_path / 'classifier.pth', '--task', 'classify', '-k', '2', photos]
    rows = infer(monkeypatch, capsys, *words)
    assert len(rows) == 3 and all(len(row['scores']) == 2 and row['predicted'][:6] == 'class ' for row in rows)
    texts = [word for name in ('cat', 'dog', 'owl', 'hen') for word in ('--text', name)]
    assert all(row['predicted'] in texts for row in infer(monkeypatch, capsys, *words, *texts))


def test_searching_and_searching_again(monkeypatch, capsys, tmp_path, model, photos):
    index = tmp_path / 'index'
    words = ['--task', 'retrieve', '--text', 'w1', '--rerank', '2', '-k', '2']
    first = infer(monkeypatch, capsys, *model, *words, photos, '--index', index)
    assert len(first[0]['results']) == 2
    out = tmp_path / 'found.json'
    assert infer(monkeypatch, capsys, *model, *words, index, '--out', out) == []
    assert json.loads(out.read_text()) == first
    found = infer(monkeypatch, capsys, *model, '--task', 'retrieve', index, '--query', photos / '1.png')
    assert found[0]['results'][0]['input'] == str(photos / '1.png')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['CONFIG', '--task', 'caption'], 'a checkpoint must follow'),
        (['CONFIG', 'CHECKPOINT', '--task', 'caption'], 'there is no input'),
        (['CONFIG', 'CHECKPOINT', '--task', 'answer', 'a.png'], 'needs --text: the question'),
        (['CONFIG', 'CHECKPOINT', '--task', 'attention', 'a.png', '--text', 'a', '--text', 'b'], 'takes one --text'),
        (['CONFIG', 'CHECKPOINT', '--task', 'retrieve', 'a.png'], 'needs --text or --query'),
        (['CONFIG', 'CHECKPOINT', '--task', 'classify', 'a.png'], 'has no head for classes: give the names'),
        (
            ['CONFIG', 'CHECKPOINT', '--task', 'answer', 'a.png', '--text', 'w1?'],
            'needs a model that answers questions',
        ),
        (['CONFIG', 'CHECKPOINT', '--task', 'caption', 'nowhere.png'], 'nowhere.png: there is no such file'),
        (['CONFIG', 'nowhere.pth', '--task', 'caption', 'a.png'], 'there is no checkpoint nowhere.pth'),
        (
            ['nowhere', '--task', 'caption', 'a.png'],
            'there is no model or config nowhere: A model is a work directory, a checkpoint',
        ),
    ],
)
def test_errors_are_one_line(monkeypatch, capsys, model, arguments, message):
    names = dict(CONFIG=model[0], CHECKPOINT=model[1])
    with pytest.raises(SystemExit) as ended:
        infer(monkeypatch, capsys, *(names.get(argument, argument) for argument in arguments))
    assert message in f'{ended.value}{capsys.readouterr().err}'


def test_help_has_examples(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['infer.py', '--help'])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / 'tools/infer.py'), run_name='__main__')
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(f'--task {task}' in text for task in ('caption', 'answer', 'retrieve', 'attention'))
