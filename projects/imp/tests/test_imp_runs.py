"""A config of several tasks through the runner: shares, resuming, testing, exporting; and the sizes of the models."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from omnivl.commands.main import run_command
from omnivl.engine import OmniVLRunner, check_config, read_config
from omnivl.registry import MODELS
from omnivl.storage import load_checkpoint
from projects.imp.model.trunk import SOUND, TEXT, VISUAL
from tests.config_nodes import dicts

ROOT = Path(__file__).parents[3]
CONFIGS = Path('projects/imp/configs')
COLOURS = {'red': (220, 30, 30), 'green': (30, 220, 30), 'blue': (30, 30, 220), 'grey': (120, 120, 120)}
SHARES = dict(image_text=1, image_label=1, video_text=1 / 2, video_label=1 / 2)


@pytest.fixture(autouse=True)
def from_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Pictures and clips of one colour each, their captions and classes, and a vocabulary."""
    import av

    root, records = tmp_path_factory.mktemp('world'), []
    for number, (name, colour) in enumerate(COLOURS.items()):
        picture = np.full((64, 64, 3), colour, np.uint8)
        Image.fromarray(picture).save(root / f'{name}.png')
        with av.open(str(root / f'{name}.mp4'), 'w') as container:
            stream = container.add_stream('mpeg4', rate=8)
            stream.width = stream.height = 64
            stream.pix_fmt = 'yuv420p'
            for _ in range(8):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
            container.mux(stream.encode())
        for modality, suffix in (('image', 'png'), ('video', 'mp4')):
            row = dict(id=f'{name}.{suffix}', visual=f'{name}.{suffix}', modality=modality, text=[f'a photo of {name}'])
            records.append(row | dict(label=('even', 'odd')[number % 2]))
    (root / 'records.jsonl').write_text('\n'.join(map(json.dumps, records)) + '\n')
    (root / 'classes.txt').write_text('even\nodd\n')
    words = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'photo', 'of', 'even', 'odd', *COLOURS)
    (root / 'vocab.txt').write_text('\n'.join(words) + '\n')
    return root


def tiny(world, work_dir, name='demo_pretrain_moe', **changes):
    """A demo config on the tiny world with a model of a few thousand parameters; its tasks and losses stay."""
    cfg = read_config(CONFIGS / f'{name}.py', options={'randomness.seed': 1, **changes})

    def records(dataset):
        modality = 'video' if 'video' in dataset['name'] else 'image'
        paths = dict(ann_file=str(world / 'records.jsonl'), visual_root=str(world))
        return dict(type='RecordList', modality=modality, classes_file=str(world / 'classes.txt'), **paths)

    for node in dicts(cfg._cfg_dict):
        if 'annotations' in node:
            node['annotations'] = records(node)
        if 'batch_size' in node and 'dataset' in node:
            node.update(batch_size=2, num_workers=0)
        if 'vocab_file' in node:
            node['vocab_file'] = str(world / 'vocab.txt')
    for task, settings in cfg.model.tasks.items():
        if 'classes' in settings:
            settings['classes'] = records(dict(name=task))
    cfg.model.trunk.encoder.update(width=16, depth=2, num_heads=2, num_sparse=1, experts=dict(num_experts=2))
    cfg.allow_train_test_overlap = True
    cfg.train_cfg.update(max_iters=6, **(dict(proportions=SHARES) if 'proportions' in cfg.train_cfg else {}))
    cfg.param_scheduler = []
    cfg.default_hooks.checkpoint.interval = 3
    cfg.work_dir = str(work_dir)
    check_config(cfg)
    return cfg


def test_tasks_come_by_their_shares_and_go_on_where_they_were(world, tmp_path, monkeypatch):
    cfg = tiny(world, tmp_path / 'whole')
    runner = OmniVLRunner.from_cfg(cfg)
    steps = [runner.train_loop.schedule.name_at(step) for step in range(60)]
    assert Counter(steps) == dict(image_text=20, image_label=20, video_text=10, video_label=10)
    runner.train()
    logged = runner.message_hub.log_scalars
    assert {'train/loss_contrast', 'train/loss_class', 'train/temperature_text_visual'} <= set(logged)
    assert set(cfg.model.tasks) == set(cfg.train_dataloader)
    first = tiny(world, tmp_path / 'parts')
    first.train_cfg.max_iters = 3
    OmniVLRunner.from_cfg(first).train()
    second = tiny(world, tmp_path / 'parts')
    second.resume = True
    OmniVLRunner.from_cfg(second).train()
    weights = [load_checkpoint(tmp_path / part / 'iter_6.pth')['state_dict'] for part in ('whole', 'parts')]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    metrics = runner.test()
    assert {'image.retrieval.t2i_r1', 'video.retrieval.v2t_r1', 'video.zero_shot.top1'} <= set(metrics)

    # What is exported knows no task and no annotations, and is used by the interfaces that it serves.
    run_command_with(monkeypatch, 'export', tmp_path / 'whole', '--out', tmp_path / 'exported')
    exported = json.loads((tmp_path / 'exported' / 'config.json').read_text())
    assert 'tasks' not in exported['model'] and exported['model']['use_labels']
    named = [word for name in COLOURS for word in ('--text', name)]
    out = ['--out', tmp_path / 'classes.json']
    run_command_with(monkeypatch, 'classify', tmp_path / 'exported', world / 'red.png', world / 'red.mp4', *named, *out)
    assert all(row['predicted'] in COLOURS for row in json.loads((tmp_path / 'classes.json').read_text()))


def test_summed_tasks_are_one_step_and_know_their_places(world, tmp_path):
    runner = OmniVLRunner.from_cfg(tiny(world, tmp_path, 'demo_summed'))
    runner.train()
    assert {'train/loss_contrast', 'train/loss_class'} <= set(runner.message_hub.log_scalars)
    stream = runner.train_loop.streams['all']
    state = load_checkpoint(tmp_path / 'iter_6.pth')['train_loop']['streams']['all']
    assert state['given'] == 6 and set(state['streams']) == set(SHARES)
    stream.load_state_dict(state)
    assert stream.batches_given == 6
    assert all((one.epoch, one.batches_done) == (2, 2) for one in stream.streams.values())  # two batches an epoch


def run_command_with(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['omnivl', *map(str, arguments[1:])])
    run_command(arguments[0])


@pytest.mark.parametrize(
    ('size', 'dense', 'sparse'), [('small', 21.2, 3 * 1.18), ('base', 84.9, 15 * 4.72), ('large', 302.0, 15 * 8.39)]
)
def test_encoders_have_the_published_sizes(size, dense, sparse):
    """The published code says 21 M, 88 M and 306 M, with what stands before them; experts come on top of six layers."""
    for name, expected in ((f'imp_{size}', dense), (f'imp_moe_{size}', dense + 6 * sparse)):
        with torch.device('meta'):
            encoder = MODELS.build(read_config(CONFIGS / f'_base_/models/{name}.py').model).trunk.encoder
        assert sum(one.numel() for one in encoder.parameters()) / 1e6 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('pretrain_*.py')), ids=lambda path: path.stem)
def test_every_task_has_its_settings(path):
    cfg = read_config(path)
    assert set(cfg.model.tasks) == set(cfg.train_dataloader) == set(cfg.train_cfg.proportions)
    for task, settings in cfg.model.tasks.items():
        assert ('classes' in settings) == ('class' in cfg.train_dataloader[task].losses)
        assert set(settings.get('drop', {})) <= {VISUAL, SOUND} and TEXT not in settings.get('drop', {})
