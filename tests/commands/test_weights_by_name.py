"""``--model`` with a folder, a file and an address on the hub; export, test and convert of what others published."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / 'tests' / folder) for folder in ('apis', 'datasets/transforms', 'weights')]

from api_world import World, write_checkpoint, write_config, write_files  # noqa: E402
from foreign import blip  # noqa: E402

from omnivl.apis import OmniVLInferencer, export_folder  # noqa: E402
from omnivl.commands.main import main  # noqa: E402
from omnivl.engine.identity import describe  # noqa: E402
from omnivl.registry import MODELS  # noqa: E402
from omnivl.storage import load_checkpoint, save_checkpoint  # noqa: E402

CACHE: dict[str, World] = {}


@pytest.fixture
def world(tiny_config, tmp_path_factory):
    """Files and a work directory with one checkpoint, which was tested; made once."""
    if 'world' not in CACHE:
        root = tmp_path_factory.mktemp('by_name')
        images, videos = write_files(root)
        config = write_config(root, tiny_config())
        weights = write_checkpoint(root / 'plain.pth', tiny_config())
        cfg = Config.fromfile(config)
        cfg.train_dataloader = dict(image=dict(dataset=dict(annotations=dict(ann_file='data/words.json'))))
        model = MODELS.build(cfg.model)
        content = dict(load_checkpoint(weights), meta=dict(model=describe(cfg, model)))
        save_checkpoint(content, root / 'run/iter_3.pth')
        CACHE['world'] = World(root, config, root / 'run/iter_3.pth', images, videos)
    return CACHE['world']


@pytest.fixture
def exported(world, tmp_path):
    """The folder that ``omnivl export`` writes of it."""
    main(['export', str(world.checkpoint.parent), '--out', str(tmp_path / 'exported')])
    return tmp_path / 'exported'


def rows(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{')]


def captions(capsys, *words):
    capsys.readouterr()
    main(['caption', *map(str, words), '--device', 'cpu'])
    return [row['caption'] for row in rows(capsys)]


def test_every_form_of_a_model_gives_the_same_captions(world, exported, hub, tmp_path, capsys):
    hub.add_folder('me/words', exported)
    shutil.copy(exported / 'model.safetensors', tmp_path / 'alone.safetensors')  # nothing beside it
    inputs = [world.images[0], world.videos[1]]
    expected = captions(capsys, world.config, world.checkpoint, *inputs)
    assert len(expected) == 2
    names = [world.checkpoint.parent, world.checkpoint, exported, tmp_path / 'alone.safetensors', 'hf://me/words']
    for name in names:
        assert captions(capsys, *inputs, '--model', name) == expected
        assert captions(capsys, name, *inputs) == expected


def test_an_export_is_exported_tested_and_converted_again(world, exported, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(['test', '--model', str(exported), '--cfg-options', 'test_cfg.amp=None'])
    figures = json.loads((tmp_path / 'work_dirs/exported/test/metrics.json').read_text())
    assert figures['run']['checkpoint'] == str(exported / 'model.safetensors') and 'retrieval' in figures['image']
    main(['test', str(world.config), str(exported), '--work-dir', 'other', '--cfg-options', 'test_cfg.amp=None'])
    assert json.loads((tmp_path / 'other/metrics.json').read_text())['image'] == figures['image']
    main(['export', '--model', str(exported), '--out', 'again'])
    main(['export', str(exported), '--out', 'as_blip', '--format', 'blip'])
    one, two = (load_checkpoint(path / 'model.safetensors') for path in (exported, Path('again')))
    assert all(torch.equal(value, two['state_dict'][key]) for key, value in one['state_dict'].items())
    assert one['meta'] == two['meta'] and str(tmp_path) not in (exported / 'config.json').read_text()
    for suffix in ('pth', 'safetensors'):
        main(['convert', '--from', 'stage', str(exported), '--out', f'start.{suffix}'])
    assert captions(capsys, world.images[0], '--model', 'start.safetensors') == captions(
        capsys, world.images[0], '--model', 'start.pth'
    )


def test_blip_of_the_hub_is_used_exported_and_converted(world, hub, vocab_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blip('caption', 0, noise=0.3).save_pretrained('blip')
    shutil.copy(vocab_file, 'blip/vocab.txt')
    hub.add_folder('Salesforce/blip-image-captioning-base', Path('blip'))
    (expected,) = captions(capsys, world.images[0], '--model', 'blip')
    assert expected and captions(capsys, world.images[0], '--model', 'blip-caption-base') == [expected]
    main(['export', 'blip-caption-base', '--out', 'ours'])
    assert captions(capsys, 'ours', world.images[0]) == [expected]
    assert (
        'Made from the weights of `blip-caption-base`, without further training' in Path('ours/README.md').read_text()
    )
    main(['convert', '--from', 'blip', 'blip-caption-base', '--out', 'ours.pth'])
    assert captions(capsys, 'ours.pth', world.images[0]) == [expected]
    with pytest.raises(SystemExit, match=r'has no test_dataloader .* name a config that has: CONFIG blip-caption-base'):
        main(['test', 'blip-caption-base'])


def test_a_pushed_model_comes_back_with_its_card(world, hub, tmp_path, capsys):
    (world.checkpoint.parent / 'test').mkdir(exist_ok=True)
    protocol = {'image.retrieval': dict(task='retrieval', height=32, annotations=[dict(name='words_test')])}
    run = dict(stage='test', checkpoint='elsewhere/iter_3.pth', time='today')
    figures = dict(image=dict(retrieval=dict(t2i_r1=40.0, t2i_r5=80.0)), chance={}, protocol=protocol, run=run)
    (world.checkpoint.parent / 'test/metrics.json').write_text(json.dumps(figures))
    words = ['--out', str(tmp_path / 'out'), '--push-to', 'hf://me/words', '--license', 'apache-2.0']
    main(['export', str(world.checkpoint.parent), *words])
    files = hub.files_of('me/words')
    assert sorted(files) == [
        'README.md', 'SHA256SUMS', 'config.json', 'metrics.json', 'model.safetensors', 'preprocessor_config.json',
        'vocab.txt',
    ]  # fmt: skip
    assert f'/me/words/commit/{hub.branches["me/words", "main"]}' in capsys.readouterr().out
    _, front, body = files['README.md'].decode().split('---\n', 2)
    about = yaml.safe_load(front)
    assert (
        about['license'] == 'apache-2.0' and about['library_name'] == 'omnivl' and about['datasets'] == ['words_test']
    )
    (result,) = about['model-index'][0]['results']
    assert result['metrics'][0]['value'] == 40.0 and result['metrics'][0]['name'] == 'image.retrieval t2i_r1'
    assert '| image.retrieval | t2i_r5 | 80.00 |  |' in body and '`data/words.json`' in body
    headings = [line[3:] for line in body.splitlines() if line.startswith('## ')]
    assert headings == ['What it is', 'Data', 'Protocol', 'Figures', 'Licence', 'Limits', 'How to use']
    expected = captions(capsys, world.checkpoint.parent, world.images[0])
    assert captions(capsys, '--model', 'hf://me/words', world.images[0]) == expected


def test_an_inferencer_saves_and_pushes_what_it_was_made_of(world, hub, tmp_path):
    first = OmniVLInferencer.from_pretrained(world.checkpoint, device='cpu')
    first.save_pretrained(tmp_path / 'saved')
    assert '/commit/' in first.push_to_hub('me/pushed', licence='mit')
    for name in (tmp_path / 'saved', 'hf://me/pushed'):
        again = OmniVLInferencer.from_pretrained(name, device='cpu')
        assert again.caption(world.images[1])['caption'] == first.caption(world.images[1])['caption']
    assert b"from_pretrained('hf://me/pushed')" in hub.files_of('me/pushed')['README.md']


def test_figures_of_other_weights_are_not_put_on_a_card(world, tmp_path):
    shutil.copytree(world.checkpoint.parent, tmp_path / 'run')
    shutil.rmtree(tmp_path / 'run/test', ignore_errors=True)
    (tmp_path / 'run/val').mkdir()
    run = dict(stage='val', checkpoint=None, iteration=2)
    (tmp_path / 'run/val/metrics.json').write_text(json.dumps(dict(image=dict(retrieval=dict(r1=9.0)), run=run)))
    main(['export', str(tmp_path / 'run'), '--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out/metrics.json').exists()
    assert 'None: it was not tested' in (tmp_path / 'out/README.md').read_text()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (
            ['caption', 'IMAGE', '--model', 'nowhere'],
            r'there is no model or config nowhere: A model is a work directory.* hf',
        ),
        (['caption', 'IMAGE', '--model', 'hf://me'], r'hf://me is no address on the hub'),
        (['caption', 'IMAGE', '--model', 'hf://me/none'], r'the hub has no hf://me/none for you'),
        (['caption', '--model', 'hf://me/none'], 'the following arguments are required|there is no input'),
        (['test', 'CONFIG', 'a.pth', '--model', 'b.pth'], r'--model b.pth and the checkpoint a.pth: give one of them'),
        (['export', '--out', 'x'], r'which model\? Name one'),
        (['export', 'RUN', '--out', 'OUT', '--push-to', 'me/words'], r'me/words is no address on the hub'),
        (
            ['export', 'RUN', '--out', 'OUT', '--push-to', 'hf://no/way'],
            r'does not let you do this|has no hf://no/way for',
        ),
    ],
)
def test_mistakes_are_one_line(words, message, world, hub, tmp_path, capsys):
    hub.refused['no/way'] = (403, '')
    stands = dict(IMAGE=world.images[0], CONFIG=world.config, RUN=world.checkpoint.parent, OUT=tmp_path / 'out')
    with pytest.raises(SystemExit) as ended:
        main([str(stands.get(word, word)) for word in words])
    said = str(ended.value) if ended.value.code != 2 else capsys.readouterr().err.splitlines()[-1]
    assert re.search(message, said) and '\n' not in said


def test_offline_by_the_variable_of_the_client(tmp_path):
    code = "from omnivl.commands.main import main; main(['caption', 'a.png', '--model', 'hf://owner/name'])"
    environment = dict(
        PYTHONPATH=str(ROOT), HF_HUB_OFFLINE='1', HF_HOME=str(tmp_path), PATH='/usr/bin:/bin', HOME='/tmp'
    )
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'hf://owner/name is not in the cache' in done.stderr and 'HF_HUB_OFFLINE' in done.stderr


def test_a_card_needs_no_figures(world, tmp_path, tiny_config):
    folder = tmp_path / 'plain'
    export_folder(Config.fromfile(world.config), world.root / 'plain.pth', folder)
    assert 'The weights do not say on which.' in (folder / 'README.md').read_text()
