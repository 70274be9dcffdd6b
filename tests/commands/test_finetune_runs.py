"""From a folder to a config that trains, and on to figures, a report and a model that the other commands take."""

import json
import os
import signal
import time
from dataclasses import replace

import finetune_world as world
import pytest
from forked import start_process
from mmengine.registry import init_default_scope
from PIL import Image
from test_finetune_split import items_of

from omnivl.commands.finetune import running
from omnivl.commands.finetune.config_file import Settings, config_text, written
from omnivl.commands.finetune.planning import Wishes, make_plan
from omnivl.commands.finetune.running import _write_lists, texts_of
from omnivl.commands.finetune.splitting import Split
from omnivl.commands.finetune.starts import start_small, unknown_share
from omnivl.commands.main import main
from omnivl.engine import read_config
from omnivl.registry import DATASETS, EVALUATIONS, MODELS

LOADING = ['--steps', '4', '--batch', '4', '--size', '32']


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def questions(folder):
    answers = [('p' + str(n) + '.png', 'which colour?', list(world.COLOURS)[n % 3]) for n in range(9)]
    return world.table(folder, [('file', 'question', 'answer'), *answers], count=9)


def mixed(folder):
    world.texts(folder)
    for number in range(4):
        world.clip(folder / f'c{number}.mp4', number)
        (folder / f'c{number}.txt').write_text('moves\n')
    return folder


MAKE = {'caption': mixed, 'retrieval': world.texts, 'vqa': questions, 'classify': world.classes}


@pytest.mark.parametrize('task', MAKE)
def test_a_config_is_whole_readable_and_trains(task, here):
    (here / 'own').mkdir()
    items = items_of(MAKE[task](here / 'own'))
    split = Split(items[1:-1], [items[0], items[-1]])  # of a mixed folder a clip and a picture
    setup = here / 'setup'
    start = start_small(texts_of(items), setup, 32, 4)
    kinds = sorted({item.modality for item in items})
    _write_lists(setup, split, task)
    settings = Settings(task, here / 'own', here / 'work', setup, kinds, start, classes=3, tested=20, batch=4)
    settings.header = ['What was "found out": """ and \\n']
    (setup / 'config.py').write_text(config_text(settings))
    assert max(map(len, (setup / 'config.py').read_text().splitlines())) < 200
    cfg = read_config(setup / 'config.py')
    init_default_scope('omnivl')
    model = MODELS.build(cfg.model)
    for loader in (*cfg.train_dataloader.values(), *cfg.test_dataloader.values()):
        assert 'inputs' in DATASETS.build(loader.dataset)[0]
    for evaluation in cfg.test_evaluator.values():
        EVALUATIONS.build(evaluation).check(model, task)
    plan = make_plan(cfg, Wishes(minutes=0.1), False)
    assert 1 <= plan.batch <= 16 and plan.iterations >= 20 and plan.accumulate == 1
    assert [note.split(':')[0] for note in plan.notes][-3:] == ['batch', 'steps', 'learning rate']


def test_little_memory_makes_batches_small_and_updates_of_several(here, monkeypatch):
    (here / 'own').mkdir()
    items = items_of(world.texts(here / 'own', 20))
    setup = here / 'setup'
    start = start_small(texts_of(items), setup, 32, 4)
    _write_lists(setup, Split(items, items[:2]), 'caption')
    (setup / 'config.py').write_text(
        config_text(Settings('caption', here / 'own', here, setup, ['image'], start, batch=4))
    )
    used = iter(range(0, 10**12, 10**9))
    monkeypatch.setattr('omnivl.commands.finetune.planning._used_bytes', lambda is_cuda: next(used))
    monkeypatch.setattr('omnivl.commands.finetune.planning.free_bytes', lambda device: 2 * 10**9)
    plan = make_plan(read_config(setup / 'config.py'), Wishes(minutes=0.1), True)
    assert (plan.batch, plan.accumulate) == (4, 4)
    assert 'what fits into 2.0 GB' in plan.notes[-3] and plan.lr == 5e-4


def test_values_are_written_as_python():
    value = {'a.b': [1, 'x', None], 'c': {'d': 'name', 'e': ['y' * 60, 'z' * 60]}}
    assert eval(written(value, raw=()), {}) == value
    assert written(dict(size='size', kind='size x'), raw=('size',)) == "dict(size=size, kind='size x')"


def test_words_that_a_vocabulary_lacks_are_told(here):
    start = start_small(['a red circle'], here, 32, 4)
    assert unknown_share(start.tokenizer, ['a red circle']).endswith('0 of 3 (0.0%)')
    said = unknown_share(start.tokenizer, ['a red wolf'])
    assert said.endswith("1 of 3 (33.3%), such as 'wolf'")


BAD = {
    'no folder': (['gone'], 1, 'there is no folder gone'),
    'wrong task': (['own', '--task', 'classify'], 1, '--task classify: own offers caption and retrieval'),
    'no clips': (['own', '--modality', 'video'], 1, '--modality video: there are 8 images'),
    'not both': (['own', '--modality', 'both'], 1, '--modality both: there are image files only'),
    'share': (['own', '--held-out', '1.5'], 2, '--held-out is a share between 0 and 1, got 1.5'),
    'minutes': (['own', '--minutes', '0'], 2, '--minutes must be above 0, got 0.0'),
    'size': (['own', '--size', '50'], 2, '--size must be a multiple of 16'),
    'size of a start': (['own', '--size', '32', '--from', 'x'], 2, '--size is for a model from random weights'),
    'no start': (['own', '--from', 'gone.pth'], 1, 'gone.pth'),
}


@pytest.mark.parametrize('name', BAD)
def test_a_command_that_cannot_be_is_refused_in_one_line(name, here, capsys):
    words, code, said = BAD[name]
    world.texts(here / 'own')
    with pytest.raises(SystemExit) as ended:
        main(['finetune', *words])
    text = str(ended.value.code) if code == 1 else capsys.readouterr().err.splitlines()[-1]
    assert said in text and '\n' not in text


def test_sounds_are_left_out_and_a_folder_of_them_is_refused(here, capsys):
    for folder in (world.texts(here / 'own'), here / 'noises'):
        folder.mkdir(exist_ok=True)
        (folder / 'bark.wav').write_bytes(b'RIFF')
        (folder / 'bark.txt').write_text('a dog barks')
    main(['finetune', 'own', '--dry-run', *LOADING])
    said = capsys.readouterr().out
    assert 'left out: 1 sounds: only images and videos are trained on: bark' in said and 'steps: 4, as asked' in said
    with pytest.raises(SystemExit) as ended:
        main(['finetune', 'noises'])
    assert 'there are only sounds, and this command trains on images and videos' in str(ended.value.code)


def test_a_dry_run_leaves_nothing(here, capsys):
    world.texts(here / 'own')
    main(['finetune', 'own', '--dry-run', *LOADING])
    said = capsys.readouterr().out
    assert 'understood: pictures and clips with .txt beside them: 8 images, 16 captions' in said
    assert 'task: caption, there are captions' in said and 'steps: 4, as asked' in said and 'TOY' in said
    assert sorted(path.name for path in here.iterdir()) == ['own']


@pytest.mark.slow
def test_pictures_of_every_kind_are_trained_on_and_the_model_is_used(here, capsys):
    """From a folder to a caption, by commands alone."""
    own = world.texts(here / 'own', 6)
    kinds = {'RGBA': (21, 90), 'L': (300, 20), 'P': (64, 64), '1': (33, 35), 'I;16': (40, 50), 'LA': (18, 18)}
    for mode, size in kinds.items():
        name = f'kind{size[0]}'
        Image.new(mode, size, 1).save(own / f'{name}.png')
        (own / f'{name}.txt').write_text('a red thing\n')
    exif = Image.Exif()
    exif[0x0112] = 6
    world.picture(own / 'turned.jpg', 40, (80, 30), exif=exif)
    (own / 'turned.txt').write_text('a blue thing\n')
    main(['finetune', 'own', *LOADING])
    said = capsys.readouterr().out
    assert '13 images' in said and 'left out' not in said
    work = here / 'work_dirs/finetune/own-caption'
    figures = json.loads((work / 'metrics.json').read_text())
    assert figures['finetuned']['image']['caption'].keys() == figures['untuned']['image']['caption'].keys()
    assert 'words' in figures['chance']['image']['caption'] and figures['task'] == 'caption'
    assert 1 <= len(list((work / 'examples').iterdir())) <= 6
    page = (work / 'report.html').read_text()
    assert 'finetuned' in page and 'data:image/jpeg' in page and 'understood:' in page
    for command in ('caption', 'demo'):
        assert f'omnivl {command} work_dirs/finetune/own-caption' in said
    main(['caption', str(work), str(next((work / 'examples').iterdir()))])
    assert '"caption"' in capsys.readouterr().out
    main(['finetune', 'own', *LOADING])
    assert 'goes on with' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'another command \(steps is 5, it was 4\): give another --work-dir'):
        main(['finetune', 'own', *LOADING, '--steps', '5'])


def saving_often(folder, words):
    os.chdir(folder)
    plan = running.make_plan
    running.make_plan = lambda *arguments: replace(plan(*arguments), save_every=20)
    main(words)


@pytest.mark.slow
def test_a_killed_training_goes_on_and_its_model_starts_another(here, capsys):
    world.texts(here / 'own')
    options = ['own', '--task', 'retrieval', '--work-dir', 'work', '--steps', '40', '--batch', '4', '--size', '32']
    process = start_process(saving_often, here, ['finetune', *options])
    while process.is_alive() and not list((here / 'work').glob('iter_*.pth')):
        time.sleep(0.1)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    main(['finetune', *options])
    said = capsys.readouterr().out
    assert '20 of 40 iterations are done' in said and (here / 'work/report.html').is_file()
    assert json.loads((here / 'work/test/metrics.json').read_text())['run']['checkpoint'].endswith('iter_40.pth')
    main(['finetune', 'own', '--from', 'work', '--work-dir', 'second', '--steps', '2', '--batch', '4', '--dry-run'])
    assert 'parts that work lacks begin at random: generation_decoder' in capsys.readouterr().out
