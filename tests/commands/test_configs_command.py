"""omnivl configs: what comes with the package is listed, shown and copied."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from omnivl.commands.main import main
from omnivl.places import named_configs

ROOT = Path(__file__).parents[2]


def test_every_config_is_listed_with_what_it_is(capsys):
    main(['configs'])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(named_configs())
    assert all(len(line.split()) > 3 for line in lines)
    main(['configs', 'list', 'retrieval_m'])
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ['omnivl/retrieval_msrvtt_7k', 'omnivl/retrieval_msrvtt_9k', 'omnivl/retrieval_msvd']


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f'{sys.executable} -m omnivl configs | head -c 1'
    done = subprocess.run(['bash', '-o', 'pipefail', '-c', command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'o', '')


def test_a_config_is_shown_with_all_that_it_reads(capsys):
    main(['configs', 'show', 'pretrain_joint', '--cfg-options', 'train_cfg.max_epochs=3'])
    shown = Config.fromstring(capsys.readouterr().out, '.py')
    assert shown.train_cfg.max_epochs == 3
    assert shown.model.trunk.visual_encoder.width == 768


@pytest.mark.parametrize('name', ['pretrain_joint', 'retrieval_coco', 'demo/pretrain_joint'])
def test_a_copy_is_the_same_config(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    main(['configs', 'copy', name, 'mine'])
    copies = capsys.readouterr().out.splitlines()
    assert all(Path(copy).is_file() for copy in copies) and Path(copies[0]).name == named_configs_path(name).name
    # Laid out by yapf, the text of a config takes seconds.
    copy, original = (Config.fromfile(path, format_python_code=False) for path in (copies[0], named_configs_path(name)))
    assert copy.pretty_text == original.pretty_text
    with pytest.raises(SystemExit, match=r'error: mine.* is there already; copy into another folder'):
        main(['configs', 'copy', name, 'mine'])


def named_configs_path(name):
    return named_configs()[name if '/' in name else f'omnivl/{name}']


def test_an_unknown_name_is_told_with_the_nearest(tmp_path):
    with pytest.raises(SystemExit, match=r'^error: there is no config vqa_2, did you mean vqa_v2.*configs lists all$'):
        main(['configs', 'copy', 'vqa_2', str(tmp_path)])
