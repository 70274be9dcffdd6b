"""A checkpoint, a work directory and an exported folder say all that their use needs, and are held to it."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from api_world import picture, write_config
from mmengine.config import Config

from omnivl.apis import OmniVLInferencer
from omnivl.apis.export import export_folder, load_exported, load_for_use
from omnivl.engine import ConfigError, OmniVLRunner
from omnivl.engine.identity import describe, load_into, own_config
from omnivl.engine.run_state import restore
from omnivl.registry import MODELS
from omnivl.storage import CheckpointError, LoadOptions, load_checkpoint, save_checkpoint
from omnivl.storage.sharded import finish_parts, save_part, temporary_folder
from omnivl.storage.sums import write_sums
from omnivl.storage.tensor_shards import cut
from omnivl.weights import load_weights
from omnivl.weights.facts import START

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(world, tiny_config, vocab_file, tmp_path):
    """A work directory with one checkpoint, as a training with a vocabulary of its own leaves it."""
    model = tiny_config()
    model['trunk']['tokenizer'] = dict(model['trunk']['tokenizer'], vocab_file=str(tmp_path / 'words.txt'))
    shutil.copy(vocab_file, tmp_path / 'words.txt')
    cfg = Config.fromfile(write_config(world.root, model))
    folder = tmp_path / 'run'
    weights = load_checkpoint(world.checkpoint)['state_dict']
    meta = dict(model=describe(cfg, MODELS.build(cfg.model)))
    save_checkpoint(dict(state_dict=weights, meta=meta), folder / 'iter_3.pth')
    (tmp_path / 'words.txt').unlink()
    return folder


def changed(run, change):
    """Write the checkpoint anew with another description."""
    content = load_checkpoint(run / 'iter_3.pth')
    change(content['meta']['model'])
    save_checkpoint(content, run / 'iter_3.pth')


def call(monkeypatch, tool, *arguments):
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')


def runner_of(cfg, work_dir, **options):
    cfg.merge_from_dict(dict(options, work_dir=str(work_dir)))
    return OmniVLRunner.from_cfg(cfg)


def test_a_checkpoint_in_parts_is_exported_as_one_file(monkeypatch, run, tmp_path):
    parts, folder = cut(load_checkpoint(run / 'iter_3.pth'), is_first=True), run / 'iter_4.shards'
    save_part(parts, temporary_folder(folder, 'a'), 0)
    finish_parts(parts.frame, temporary_folder(folder, 'a'), folder, 1)
    found = []
    for path in (run / 'iter_3.pth', folder, run):
        call(monkeypatch, 'export_weights.py', path, '--out', tmp_path / f'{len(found)}')
        found.append(load_checkpoint(tmp_path / f'{len(found)}/model.safetensors')['state_dict'])
    for weights in found[1:]:
        assert weights.keys() == found[0].keys()
        assert all(torch.equal(value, found[0][key]) for key, value in weights.items())


@pytest.mark.parametrize('name', ['run', 'run/iter_3.pth', 'exported'])
def test_one_argument_is_enough_to_use_a_model(name, run, world, inferencer, tmp_path):
    export_folder(own_config(run)[0], run, tmp_path / 'exported')
    own = OmniVLInferencer.from_pretrained(tmp_path / name, device='cpu', batch_size=4)
    visuals = [world.images[0], picture(3, 40, 44), world.videos[1]]
    for one, other in zip(own.caption(visuals), inferencer.caption(visuals)):
        assert one['caption'] == other['caption'] and one['score'] == pytest.approx(other['score'], abs=1e-5)
    one, other = own.match(world.images[0], 'w1 w2'), inferencer.match(world.images[0], 'w1 w2')
    assert one['score'] == pytest.approx(other['score'], abs=1e-5)


def test_one_argument_is_enough_for_every_command(run, monkeypatch, capsys, tmp_path, world):
    call(monkeypatch, 'infer.py', run, '--task', 'caption', world.images[0], '--device', 'cpu')
    assert 'caption' in json.loads(capsys.readouterr().out)
    call(monkeypatch, 'export_weights.py', run, '--out', tmp_path / 'exported')
    facts = json.loads((tmp_path / 'exported/config.json').read_text())['facts']
    assert facts['norm_eps.visual_encoder'] == [1e-6] and facts['prompt'] == '' and 'mean' in facts['pixels']
    call(monkeypatch, 'export_weights.py', run, '--format', 'blip', '--out', tmp_path / 'blip')
    call(monkeypatch, 'test.py', run / 'iter_3.pth', '--cfg-options', 'test_cfg.amp=None')
    figures = sorted((run / 'test').rglob('metrics*.json'))
    assert figures, list((run / 'test').rglob('*'))
    call(monkeypatch, 'convert_weights.py', '--from', 'stage', run, '--out', tmp_path / 'again.pth')
    again = load_checkpoint(tmp_path / 'again.pth')['meta']['model']
    theirs = load_checkpoint(run / 'iter_3.pth')['meta']['model']
    assert again['vocabulary'] == theirs['vocabulary'] and again['facts']['task'] == 'TrunkModel'


@pytest.mark.parametrize(
    ('tool', 'arguments', 'message'),
    [
        ('export_weights.py', ['CONFIG', '--out', 'x'], 'alone has no weights: name a checkpoint after it'),
        ('export_weights.py', ['OLD', '--out', 'x'], r'does not say what its model is: .* Name its config before it'),
        ('infer.py', ['OLD', 'a.png', '--task', 'caption'], r'does not say what its model is'),
        ('test.py', ['OLD'], r'does not say what its model is'),
        ('convert_weights.py', ['--from', 'bert', 'x.bin', '--out', 'x.pth'], r'of others do not say which model'),
    ],
)
def test_what_does_not_know_itself_needs_its_config(tool, arguments, message, world, monkeypatch):
    words = dict(CONFIG=world.config, OLD=world.checkpoint)
    with pytest.raises(SystemExit, match=message):
        call(monkeypatch, tool, *[words.get(word, word) for word in arguments])


def test_a_description_is_data(run):
    first = load_checkpoint(run / 'iter_3.pth')['meta']['model']
    json.dumps([first['config'], first['facts']])
    changed(run, lambda own: own['config']['model'].update(type='os.system'))
    with pytest.raises(ConfigError, match=r"model.type is 'os.system', which is not registered. Import the project"):
        own_config(run)
    changed(run, lambda own: own['config'].update(first['config'], model=first['config']['model']))


@pytest.mark.parametrize('name', ['../vocab.txt', '..', '/tmp/vocab.txt', '.bashrc'])
def test_a_vocabulary_is_written_nowhere_else(name, run):
    changed(run, lambda own: own.update(vocabulary={name: b'[PAD]'}))
    with pytest.raises(CheckpointError, match='is no file of a vocabulary'):
        own_config(run)


def other_vocabulary(model, tmp_path):
    lines = Path(model['trunk']['tokenizer']['vocab_file']).read_text().split('\n')
    (tmp_path / 'other.txt').write_text('\n'.join([*lines[:5], *reversed(lines[5:])]))
    model['trunk']['tokenizer'] = dict(model['trunk']['tokenizer'], vocab_file=str(tmp_path / 'other.txt'))


def set_in(*path, **values):
    def change(model, tmp_path):
        for step in path:
            model = model.setdefault(step, {})
        model.update(values)

    return change


DIFFERENCES = {
    'vocabulary': (other_vocabulary, r"vocabulary is .*words.txt.* \(SHA-256 \w{12}\.\.\.\) there and .*other.txt"),
    'norm_eps': (set_in('trunk', 'visual_encoder', norm_eps=1e-5), r'norm_eps.visual_encoder is 1e-06 there and 1e-05'),
    'num_heads': (set_in('trunk', 'text_encoder', num_heads=4), r'num_heads.text_encoder is 2 there and 4 here'),
    'matching_token': (set_in('trunk', matching_token='CLS'), r"matching_token is '\[ENC\]' there and '\[CLS\]' here"),
    'activation': (set_in('trunk', 'visual_encoder', activation='quick_gelu'), r"is 'gelu' there and 'quick_gelu'"),
    'pixels': (
        set_in('data_preprocessor', type='VLDataPreprocessor', mean=[0.5] * 3, std=[0.5] * 3), r'pixels is \{.*0.4815'
    ),
}  # fmt: skip


@pytest.fixture
def differing(tiny_config, tmp_path, world):
    """A function that makes the config of a model that answers otherwise."""

    def make(name, **options):
        model = tiny_config()
        DIFFERENCES[name][0](model, tmp_path)
        return Config.fromfile(write_config(world.root, model, **options))

    return make


@pytest.mark.parametrize('name', DIFFERENCES)
def test_a_difference_that_changes_the_answers_is_refused_and_named(name, run, differing):
    cfg, message = differing(name), DIFFERENCES[name][1]
    option = rf".*load_options=dict\(allow_differences=\['{name}'\]\) in the config"
    with pytest.raises(CheckpointError, match=message + option):
        OmniVLInferencer(cfg, run, device='cpu')
    OmniVLInferencer(differing(name, load_options=dict(allow_differences=[name])), run, device='cpu')


def test_every_way_that_weights_meet_a_config_compares(run, differing, tmp_path):
    cfg = differing('vocabulary')
    file = str(run / 'iter_3.pth')
    with pytest.raises(CheckpointError, match='vocabulary is '):
        load_for_use(cfg.model, run)
    with pytest.raises(CheckpointError, match='vocabulary is '):
        export_folder(cfg, run, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    with pytest.raises(CheckpointError, match=r"vocabulary is .*allow=\['vocabulary'\] of the reader"):
        load_weights(MODELS.build(cfg.model), dict(type='stage', file=file))
    load_weights(MODELS.build(cfg.model), dict(type='stage', file=file, allow=['vocabulary']))
    runner = runner_of(cfg, tmp_path / 'other', load_from=file)
    with pytest.raises(CheckpointError, match='vocabulary is '):
        runner.load_or_resume()
    with pytest.raises(CheckpointError, match='vocabulary is '):
        restore(runner, load_checkpoint(file), file)


def test_what_a_new_stage_may_change_a_run_that_goes_on_may_not(run, tiny_config, world, tmp_path):
    cfg = Config.fromfile(write_config(world.root, tiny_config(trunk=dict(encoder=dict(image_size=48, num_frames=8)))))
    content = load_checkpoint(run / 'iter_3.pth')
    load_into(MODELS.build(cfg.model), content, 'iter_3.pth', LoadOptions(), START)
    runner = runner_of(cfg, tmp_path / 'other')
    message = r'image_size is \[32, 32\] there and \[48, 48\] here; num_frames is 4 there and 8 here'
    with pytest.raises(CheckpointError, match=message):
        restore(runner, content, 'iter_3.pth')


def test_another_size_than_that_of_the_weights_is_no_use(run, tiny_config, world, tmp_path):
    def larger(**options):
        model = tiny_config(trunk=dict(encoder=dict(image_size=48)))
        return Config.fromfile(write_config(world.root, model, **options))

    message = (
        r'image_size is \[32, 32\] there and \[48, 48\] here.* allow the difference with '
        r"load_options=dict\(allow_differences=\['image_size'\]\) in the config"
    )
    with pytest.raises(CheckpointError, match=message):
        OmniVLInferencer(larger(), run, device='cpu')
    with pytest.raises(CheckpointError, match=message):  # its config has nothing to train
        runner_of(larger(), tmp_path / 'tested').load_checkpoint(str(run / 'iter_3.pth'))
    allowed = OmniVLInferencer(larger(load_options=dict(allow_differences=['image_size'])), run, device='cpu')
    assert allowed.model.trunk.visual_encoder.image_size == (48, 48)


def test_a_prompt_belongs_to_its_task(tiny_config, world, tmp_path):
    def caption(prompt):
        return Config.fromfile(write_config(world.root, tiny_config(type='OmniVLCaption', prompt=prompt)))

    cfg = caption('w1 w2')
    model = MODELS.build(cfg.model)
    save_checkpoint(dict(state_dict=model.state_dict(), meta=dict(model=describe(cfg, model))), tmp_path / 'a.pth')
    assert OmniVLInferencer(tmp_path / 'a.pth', device='cpu').model.prompt == 'w1 w2'
    with pytest.raises(CheckpointError, match=r"prompt is 'w1 w2' there and 'w3' here"):
        OmniVLInferencer(caption('w3'), tmp_path / 'a.pth', device='cpu')


def test_a_checkpoint_of_before_loads_with_a_line(world, tmp_path):
    runner = runner_of(Config.fromfile(world.config), tmp_path)
    runner.load_checkpoint(str(world.checkpoint))
    lines = [line for path in tmp_path.rglob('*.log') for line in path.read_text().splitlines()]
    assert sum('does not say with which vocabulary and settings' in line for line in lines) == 1


def test_an_export_of_another_version_is_compared_too(run, tmp_path):
    export_folder(own_config(run)[0], run, tmp_path / 'exported')
    content = json.loads((tmp_path / 'exported/config.json').read_text())
    content['facts']['norm_eps.text_encoder'] = [0.5]
    (tmp_path / 'exported/config.json').write_text(json.dumps(content))
    (tmp_path / 'exported/SHA256SUMS').unlink()
    write_sums(tmp_path / 'exported', {})
    with pytest.raises(CheckpointError, match=r'norm_eps.text_encoder is 0.5 there and 1e-12 here.* export it again'):
        load_exported(tmp_path / 'exported')


def test_a_checkpoint_without_a_vocabulary_at_hand_is_saved_all_the_same(tiny_config, world):
    model = tiny_config()
    model['trunk']['tokenizer'] = dict(model['trunk']['tokenizer'], vocab_file='nowhere.txt')
    description = describe(Config(dict(model=model)), MODELS.build(model))
    assert 'vocabulary' not in description and 'vocabulary' not in description['facts']
    assert torch.is_tensor(next(iter(MODELS.build(description['config']['model']).state_dict().values())))
