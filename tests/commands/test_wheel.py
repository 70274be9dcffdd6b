"""The wheel, installed where the checkout cannot be seen, from an empty folder."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from omnivl.version import __version__

ROOT = Path(__file__).parents[2]


def run(*words, cwd, **variables):
    """Run a command without the checkout on its path; returns what it says."""
    environment = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'OMNIVL_DATA')}
    done = subprocess.run(list(map(str, words)), cwd=cwd, env=environment | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """The wheel, and the folder of an environment that has it and, from outside, what it needs."""
    root = tmp_path_factory.mktemp('wheel')
    source = root / 'source'
    source.mkdir()
    tracked = ['setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'MANIFEST.in', 'model-index.yml']
    for name in [*tracked, 'omnivl', 'configs', 'tools', 'projects']:
        subprocess.run(['cp', '-r', str(ROOT / name), str(source)], check=True)
    options = ['--no-deps', '--no-build-isolation', '-q']
    run(sys.executable, '-m', 'pip', 'wheel', source, *options, '-w', root, cwd=root)
    (wheel,) = root.glob('*.whl')
    run(sys.executable, '-m', 'venv', '--without-pip', root / 'env', cwd=root)
    python = root / 'env/bin/python'
    packages = Path(run(python, '-c', "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=root).strip())
    (packages / 'needed.pth').write_text(sysconfig.get_path('purelib'))
    options = ['--no-deps', '--no-index', '--ignore-installed', '--no-compile', '-q']
    run(sys.executable, '-m', 'pip', '--python', python, 'install', *options, wheel, cwd=root)
    return wheel, root / 'env'


@pytest.fixture
def empty(tmp_path):
    (tmp_path / 'empty').mkdir()
    return tmp_path / 'empty'


def test_it_holds_what_the_checkout_has(installed):
    names = zipfile.ZipFile(installed[0]).namelist()
    for folder in ('configs', 'tools'):
        ours = {
            f'omnivl/.mim/{path.relative_to(ROOT)}' for path in (ROOT / folder).rglob('*.*') if path.suffix != '.pyc'
        }
        assert {name for name in names if name.startswith(f'omnivl/.mim/{folder}/')} == ours
    assert 'omnivl/.mim/projects/demo/report/templates/report.html' in names
    assert 'omnivl/commands/demo/page.css' in names
    assert not [name for name in names if '/tests/' in name or name.startswith(('tests', 'data', 'configs', 'tools'))]
    assert installed[0].stat().st_size < 2e6


@pytest.mark.slow
def test_it_works_from_an_empty_folder(installed, empty):
    omnivl = installed[1] / 'bin/omnivl'
    assert 'omnivl COMMAND' in run(omnivl, '--help', cwd=empty)
    assert run(installed[1] / 'bin/python', '-m', 'omnivl', '--version', cwd=empty) == f'omnivl {__version__}\n'
    text = run(omnivl, 'doctor', cwd=empty)
    assert f'imported from    {installed[1]}' in text and f'{installed[1]}' in text.partition('configs ')[2]
    lines = run(omnivl, 'configs', cwd=empty).splitlines()
    assert any(line.startswith('omnivl/pretrain_joint ') for line in lines)
    assert '282.59 M parameters are trained' in run(omnivl, 'flops', 'pretrain_joint', cwd=empty)
    assert list(empty.iterdir()) == []


@pytest.mark.slow
def test_a_training_finds_its_data_by_the_root(installed, empty, tmp_path):
    spec = importlib.util.spec_from_file_location('chaos_config', ROOT / 'tools/chaos_config.py')
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    corpus = tmp_path / 'corpora/tiny'
    config = Path(tiny.write_tiny_config(corpus))
    config.write_text(config.read_text().replace(str(corpus), 'data/tiny'))
    words = [installed[1] / 'bin/omnivl', 'train', config, '--cfg-options', 'train_cfg.max_iters=2']
    words += ['train_dataloader.image.num_workers=0', 'param_scheduler=[]']
    run(*words, cwd=empty, OMNIVL_DATA=str(tmp_path / 'corpora'))
    assert (empty / 'work_dirs/tiny/iter_2.pth').is_file()
