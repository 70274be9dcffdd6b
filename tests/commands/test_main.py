"""The omnivl command: its overview, its one style of help, its errors, and the files of tools/ as other doors."""

import importlib
import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from omnivl.commands.main import main, make_parser, overview
from omnivl.commands.table import COMMANDS, DOORS
from omnivl.version import __version__

ROOT = Path(__file__).parents[2]


def help_of(capsys, call):
    with pytest.raises(SystemExit) as ended:
        call()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_overview_names_every_command_in_a_line(capsys):
    for words in ([], ['--help'], ['-h']):
        main(words)
        assert capsys.readouterr().out == overview() + '\n'
    for name, line in COMMANDS.items():
        assert re.search(rf'^  {name} +{re.escape(line)}$', overview(), re.MULTILINE)
    assert max(map(len, overview().splitlines())) <= 100


def test_the_version(capsys):
    main(['--version'])
    assert capsys.readouterr().out == f'omnivl {__version__}\n'


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('tarin', "there is no command 'tarin', did you mean 'train'? omnivl --help lists all"),
        ('qqq', "there is no command 'qqq', omnivl --help lists all"),
    ],
)
def test_an_unknown_command_is_told_in_a_line(capsys, name, message):
    with pytest.raises(SystemExit) as ended:
        main([name])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f'error: {message}\n'


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_explains_itself_in_one_style(capsys, name):
    text = help_of(capsys, lambda: main([name, '--help']))
    parts = ['usage: omnivl ' + name, '\noptions:\n', '\nExamples:\n    omnivl ' + name]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    description = text[text.index('\n\n') : places[1]].strip()
    assert re.match(r'[A-Z].*[.:]', description, re.DOTALL)
    parser = make_parser(importlib.import_module(f'omnivl.commands.{name}'))
    assert [action.dest for action in parser._actions if not action.help] == []
    examples = [line.strip() for line in text[places[2] :].splitlines()[2:] if line.strip()]
    assert examples and all(line.startswith(f'omnivl {name}') for line in examples)


@pytest.mark.parametrize(('name', 'door'), DOORS.items())
def test_a_file_of_tools_takes_the_same_options(monkeypatch, capsys, name, door):
    ours = help_of(capsys, lambda: main([name, '--help']))
    monkeypatch.setattr(sys, 'argv', [door, '--help'])
    theirs = help_of(capsys, lambda: runpy.run_path(str(ROOT / 'tools' / door), run_name='__main__'))
    assert f'python tools/{door} ' in theirs and f'omnivl {name} ' not in theirs
    options = [text[text.index('\noptions:\n') : text.index('\nExamples:\n')] for text in (ours, theirs)]
    assert options[0] == options[1]
    assert set(re.findall(r'--[a-z-]+', ours)) >= set(re.findall(r'--[a-z-]+', options[1]))


def test_options_of_all_tasks_are_in_tools_infer():
    """A task of tools/infer.py takes what its command takes."""
    known = {action.dest: action for action in make_parser(importlib.import_module('omnivl.commands.infer'))._actions}
    for name in known['task'].choices:
        for action in make_parser(importlib.import_module(f'omnivl.commands.{name}'))._actions:
            other = known[action.dest]
            assert (other.option_strings, other.nargs, other.choices) == (
                (action.option_strings, action.nargs, action.choices)
            )
            assert other.default == action.default or not (other.default or action.default)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['answer', 'FOLDER', 'a.png'], 'answer needs --text: the question'),
        (['match', 'FOLDER', 'a.png'], 'match needs --text: a text to hold against'),
        (['attention', 'FOLDER', 'a.png', '--text', 'a', '--text', 'b'], 'attention takes one --text'),
        (['retrieve', 'FOLDER', 'a.png'], 'it needs --text or --query (not both)'),
        (['search', 'FOLDER', 'a.png', '--text', 'a'], 'a.png: that is not one index; omnivl index makes one'),
        (['caption', 'pretrain_joint'], 'alone has no weights: a checkpoint must follow it'),
        (['browse', 'c.py', '--number', '0'], '--number must be at least 1, got 0'),
        (['flops', 'c.py', '--words', '1'], '--words must be at least 2, got 1'),
        (['verify', 'c.py', '--workers', '-1'], '--workers must not be negative, got -1'),
        (['configs', 'show'], 'show needs the name of a config'),
        (['configs', 'copy', 'pretrain_joint'], 'copy needs the name of a config and a folder'),
        (['configs', 'list', 'qqq'], "no config of the package has 'qqq' in its name"),
    ],
)
def test_a_wrong_option_is_told_with_the_usage(capsys, tmp_path, words, message):
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path) if word == 'FOLDER' else word for word in words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f'usage: omnivl {words[0]}') and message in error


def test_another_error_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['omnivl'])
    with pytest.raises(SystemExit, match=r'^error: there is no config qqq; omnivl configs lists all$|^error: there'):
        main(['flops', 'qqq'])
    with pytest.raises(SystemExit, match=r'it only tests, see omnivl test probe_cifar10 CHECKPOINT'):
        main(['train', 'probe_cifar10'])
    with pytest.raises(SystemExit, match=r'which weights\? omnivl test vqa_v2 CHECKPOINT'):
        main(['test', 'vqa_v2'])


def rows(output):
    """Results among what was printed; a logger that an earlier test has made writes to where it began to."""
    return [json.loads(line) for line in output.splitlines() if line.startswith('{')]


def test_index_and_search(monkeypatch, capsys, tmp_path, tiny_config):
    import torch
    from mmengine.config import Config
    from PIL import Image

    from omnivl.registry import MODELS

    config = tiny_config()
    pipeline = [
        dict(type='LoadImage'),
        dict(type='Resize', size=32),
        dict(type='TokenizeText', tokenizer=config['trunk']['tokenizer'], max_length=9),
        dict(type='PackSample'),
    ]
    Config(dict(default_scope='omnivl', model=config, image_test_pipeline=pipeline)).dump(tmp_path / 'model.py')
    torch.save(dict(state_dict=MODELS.build(config).state_dict()), tmp_path / 'model.pth')
    for number in range(3):
        Image.new('RGB', (24, 24), (80 * number, 9, 9)).save(tmp_path / f'{number}.png')
    photos = [str(tmp_path / f'{number}.png') for number in range(3)]
    model, index = [str(tmp_path / 'model.py'), str(tmp_path / 'model.pth'), '--device', 'cpu'], str(tmp_path / 'index')
    main(['index', *model, *photos, 'nowhere.png', '--out', index])
    told = capsys.readouterr()
    assert rows(told.out)[0] == dict(index=index, entries=3)
    assert 'nowhere.png: ' in told.err
    main(['search', *model, index, '--query', photos[1], '-k', '2'])
    found = rows(capsys.readouterr().out)[0]['results']
    assert len(found) == 2 and found[0]['input'] == photos[1]
