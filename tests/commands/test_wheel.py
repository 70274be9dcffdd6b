"""The wheel, installed where the checkout cannot be seen, from an empty folder."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from omnivl.version import __version__

ROOT = Path(__file__).parents[2]
# Runs each command line that it is told in a fork of itself: a new Python takes ten seconds to read the libraries.
PROMPT = """
import json, os, sys
import omnivl.apis, omnivl.engine, torch._dynamo
from omnivl.commands.main import main

for line in sys.stdin:
    words, folder, variables, output = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
os.chdir(folder)
os.environ.update(variables)
file = os.open(output, os.O_WRONLY | os.O_CREAT)
for number in (1, 2):
    os.dup2(file, number)
main(words)
"""


def clean_environment():
    """The variables of this process but those that lead to the checkout."""
    return {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'OMNIVL_DATA')}


def run(*words, cwd, **variables):
    """Run a command without the checkout on its path; returns what it says."""
    environment = clean_environment() | variables
    done = subprocess.run(list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True)
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


@pytest.fixture(scope='module')
def omnivl(installed, tmp_path_factory):
    """A function that runs a command of the wheel, and returns what it says."""
    root = tmp_path_factory.mktemp('said')
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    command = [str(installed[1] / 'bin/python'), '-c', PROMPT]
    with subprocess.Popen(command, cwd=root, env=clean_environment(), **pipes) as process:

        def call(*words, cwd, **variables):
            output = root / f'{len(list(root.iterdir()))}.txt'
            print(json.dumps([list(map(str, words)), str(cwd), variables, str(output)]), file=process.stdin, flush=True)
            code = process.stdout.readline()
            assert code == '0\n', output.read_text()
            return output.read_text()

        yield call
        process.stdin.close()


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
def test_it_works_from_an_empty_folder(installed, omnivl, empty):
    assert 'omnivl COMMAND' in run(installed[1] / 'bin/omnivl', '--help', cwd=empty)
    assert run(installed[1] / 'bin/python', '-m', 'omnivl', '--version', cwd=empty) == f'omnivl {__version__}\n'
    text = omnivl('doctor', cwd=empty)
    assert f'imported from    {installed[1]}' in text and f'{installed[1]}' in text.partition('configs ')[2]
    lines = omnivl('configs', cwd=empty).splitlines()
    assert any(line.startswith('omnivl/pretrain_joint ') for line in lines)
    assert '116.25 M parameters are trained' in omnivl('flops', 'action_kinetics400', cwd=empty)
    assert list(empty.iterdir()) == []


@pytest.mark.slow
def test_a_training_finds_its_data_by_the_root(omnivl, empty, tmp_path):
    spec = importlib.util.spec_from_file_location('chaos_config', ROOT / 'tools/chaos_config.py')
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    corpus = tmp_path / 'corpora/tiny'
    config = Path(tiny.write_tiny_config(corpus))
    config.write_text(config.read_text().replace(str(corpus), 'data/tiny'))
    words = ['train', config, '--cfg-options', 'train_cfg.max_iters=2']
    words += ['train_dataloader.image.num_workers=0', 'param_scheduler=[]']
    omnivl(*words, cwd=empty, OMNIVL_DATA=str(tmp_path / 'corpora'))
    assert (empty / 'work_dirs/tiny/iter_2.pth').is_file()


def write_photos(folder):
    """Two dozen photos of two colours and two shapes, of many sizes, each with its caption beside it."""
    folder.mkdir()
    for number in range(24):
        colour, shape = ('red', 'blue')[number % 2], ('circle', 'square')[number // 2 % 2]
        width, height = ((640, 480), (480, 640), (800, 300))[number % 3]
        left, top = 40 + 9 * number, 30 + 3 * number
        photo = Image.new('RGB', (width, height), (200 + number, 230, 240))
        draw = ImageDraw.Draw(photo).ellipse if shape == 'circle' else ImageDraw.Draw(photo).rectangle
        draw((left, top, left + 150, top + 150), fill=colour)
        photo.save(folder / f'IMG_{number:04}.jpg')
        (folder / f'IMG_{number:04}.txt').write_text(f'a {colour} {shape} on a table\n')


@contextlib.contextmanager
def page_of(command, model, cwd):
    """Run ``omnivl demo``; gives the address of its page."""
    words = [command, 'demo', model, '--port', '0']
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with subprocess.Popen(list(map(str, words)), cwd=cwd, env=clean_environment(), **pipes) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.match(r'http://127\.0\.0\.1:\d+', line):
                break
        assert said and found, ''.join(said)
        yield found[0]
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert process.returncode == 0


@pytest.mark.slow
def test_photos_become_a_page_in_three_commands(installed, omnivl, empty, browser, screenshots):
    # The first of the three is the installation.
    pytest.importorskip('gradio', reason="the page needs gradio: pip install 'omnivl[web]'")
    write_photos(empty / 'photos')
    text = omnivl('finetune', 'photos', '--task', 'caption', '--minutes', '0.02', cwd=empty)
    assert 'understood: pictures and clips with .txt beside them: 24 images, 24 captions' in text
    work_dir = 'work_dirs/finetune/photos-caption'
    assert f'omnivl demo {work_dir}' in text.rpartition('Next')[2]
    with page_of(installed[1] / 'bin/omnivl', work_dir, empty) as address:
        for name, size, scheme in (('desktop', 1280, 'light'), ('phone', 390, 'dark')):
            context = browser.new_context(viewport=dict(width=size, height=860), color_scheme=scheme)
            page = context.new_page()
            page.set_default_timeout(30_000)
            page.goto(address)
            page.locator('#examples button').first.click()
            page.locator('#preview img').wait_for()
            page.get_by_role('button', name='Write a caption').click()
            assert page.locator('#out-caption .omnivl-sentence').inner_text().strip()
            assert page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')
            page.screenshot(path=screenshots / f'photos-{name}-{scheme}.png', full_page=True)
            context.close()
