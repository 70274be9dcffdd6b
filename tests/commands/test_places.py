"""Configs are found by name, and data by its root, wherever a command is started."""

import sys
from pathlib import Path

import pytest
from forked import start_process
from mmengine.config import Config

from omnivl.engine import ConfigError, read_config
from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.places import (
    DATA_VARIABLE,
    PATH_KEYS,
    data_root,
    find_config,
    home,
    import_from_project,
    named_configs,
    resolve_data_paths,
)

ROOT = Path(__file__).parents[2]
JOINT = ROOT / 'configs/omnivl/pretrain_joint.py'


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """An empty folder to work in, without a data root."""
    monkeypatch.setenv(DATA_VARIABLE, '')
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    return tmp_path / 'empty'


def paths_in(value, key=''):
    """Yield key and value of all strings of a config that begin with data/."""
    items = value.items() if isinstance(value, dict) else ((key, one) for one in value)
    for key, item in items:
        if isinstance(item, dict | list | tuple):
            yield from paths_in(item, key)
        elif isinstance(item, str) and item.startswith('data/'):
            yield key, item


def test_a_config_is_found_by_path_and_by_name(elsewhere):
    assert home() == ROOT
    for name in ('pretrain_joint', 'omnivl/pretrain_joint', 'configs/omnivl/pretrain_joint.py', str(JOINT)):
        assert find_config(name) == JOINT
    assert find_config('pretrain_joint.py') == JOINT
    assert find_config('demo/vqa') == find_config('vqa') == ROOT / 'projects/demo/configs/vqa.py'
    assert find_config('_base_/runtime') == Path('_base_/runtime')
    (elsewhere / 'pretrain_joint').write_text('')
    assert find_config('pretrain_joint') == Path('pretrain_joint')  # a file of one's own goes first


def test_a_name_that_several_have_is_refused(monkeypatch):
    known = named_configs() | {'other/pretrain_joint': ROOT / 'configs/other/pretrain_joint.py'}
    monkeypatch.setattr('omnivl.places.named_configs', lambda: known)
    with pytest.raises(OmniVLValueError, match=r'several configs are called pretrain_joint: omnivl/.*, other/.*; name'):
        find_config('pretrain_joint')


def test_a_config_that_is_not_there_is_told_with_the_nearest(elsewhere):
    message = r'there is no config pretrain_jiont, did you mean pretrain_joint or .*\(omnivl configs lists all\)\?'
    with pytest.raises(ConfigError, match=message):
        read_config('pretrain_jiont')


def test_the_data_root_takes_the_place_of_data(monkeypatch, tmp_path):
    root = tmp_path / 'corpora'
    root.mkdir()
    before = read_config('vqa_v2')
    monkeypatch.setenv(DATA_VARIABLE, str(root))
    after = read_config('vqa_v2')
    for key in ('train_dataloader', 'test_dataloader', 'test_evaluator', 'model', 'load_from'):
        old, new = (Config(dict(part=cfg[key]), format_python_code=False).pretty_text for cfg in (before, after))
        assert old.replace("'data/", f"'{root}/") == new
    assert after.load_from.file == 'work_dirs/pretrain_joint'


def test_an_option_of_the_command_line_is_resolved_like_the_config(monkeypatch, tmp_path):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    options = {'model.trunk.tokenizer.vocab_file': 'data/mine/vocab.txt', 'load_from': 'work_dirs/start.pth'}
    cfg = read_config('pretrain_image', options=options)
    assert cfg.model.trunk.tokenizer.vocab_file == f'{tmp_path}/mine/vocab.txt'
    assert cfg.load_from == 'work_dirs/start.pth'


def test_what_only_the_current_folder_has_stays(monkeypatch, tmp_path, elsewhere):
    (elsewhere / 'data/mine').mkdir(parents=True)
    (tmp_path / 'corpora/both').mkdir(parents=True)
    (elsewhere / 'data/both').mkdir()
    config = dict(
        dataset=[dict(visual_root='data/mine'), (dict(ann_file='data/both'),)],
        vocab_file='data/new',
        caption='data/new',
        file='/data/new',
    )
    resolve_data_paths(config)
    assert config['vocab_file'] == 'data/new'  # no data root, and data is here
    monkeypatch.setenv(DATA_VARIABLE, '../corpora')
    resolve_data_paths(config)
    root = str(tmp_path / 'corpora')
    assert config['dataset'] == [dict(visual_root='data/mine'), (dict(ann_file=f'{root}/both'),)]
    assert config['vocab_file'] == f'{root}/new'
    assert (config['caption'], config['file']) == ('data/new', '/data/new')


def test_without_a_root_the_checkout_has_the_data_that_is_not_here(monkeypatch, tmp_path, elsewhere):
    monkeypatch.setattr('omnivl.places.home', lambda: tmp_path)
    assert data_root() is None
    (tmp_path / 'data').mkdir()
    assert data_root() == tmp_path / 'data'
    (elsewhere / 'data').mkdir()
    assert data_root() is None


def test_a_root_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, '/nowhere')
    with pytest.raises(
        OmniVLFileNotFoundError, match='the data root /nowhere is no folder: set --data-root, or OMNIVL_'
    ):
        read_config('vqa_v2')


@pytest.mark.parametrize('name', sorted(named_configs()))
def test_every_path_of_a_config_is_one_that_is_resolved(monkeypatch, name):
    """The keys are a pattern: no component may take a path under another name."""
    monkeypatch.syspath_prepend(str(ROOT))
    cfg = Config.fromfile(named_configs()[name])
    used = {
        key: value for key, value in cfg.items() if key.endswith(('_dataloader', '_evaluator', 'model', 'load_from'))
    }
    missed = {key for key, _ in paths_in(used) if not PATH_KEYS.fullmatch(key)}
    assert missed == set()


@pytest.mark.parametrize(
    'name', ['os', 'os.path', 'projects', 'projects.coca', 'projects.coca.nothing', 'projects.coca.tools.study']
)
def test_only_the_code_of_a_project_is_imported_for_data(name):
    before = set(sys.modules)
    assert not import_from_project(name) and set(sys.modules) == before


@pytest.mark.parametrize(
    'name', ['projects...coca.model', 'projects.coca.../../x', 'projects.example_encoder.tests.x', '']
)
def test_a_name_is_no_path(name):
    assert not import_from_project(name)


def import_an_example() -> None:
    assert import_from_project('projects.example_encoder.model')
    assert Path(sys.modules['projects.example_encoder.model'].__file__).is_relative_to(home())


def test_a_module_of_a_project_is_imported():
    process = start_process(import_an_example)  # a page of the docs may have imported its own here
    process.join(60)
    assert process.exitcode == 0
