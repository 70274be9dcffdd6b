"""What a training will take, beside what it does take, what others count, and what is worked out by hand."""

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from omnivl.commands.flops import counting as flops
from omnivl.commands.main import run_command
from omnivl.commands.plan.costs import Training, fsdp_bytes, step_bytes
from omnivl.commands.plan.gpus import GPUS, find_gpu
from omnivl.commands.plan.memory import Load, Memory, Rehearsal
from omnivl.commands.plan.planning import read_measured
from omnivl.commands.plan.report import show, table
from omnivl.commands.plan.tasks import ITEMS, Task
from omnivl.engine import read_config

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path.stem for path in (ROOT / 'configs/omnivl').glob('*.py'))
# One of each kind beside those that docs/guides/plan_run.md plans: a rehearsal takes seconds.
KINDS = ('pretrain_image', 'vqa_v2', 'caption_coco_server', 'action_kinetics400')
PARTS = ('visual_encoder', 'text_encoder', 'alignment_decoder', 'generation_decoder')
# The toy: a rehearsal takes as long as there are blocks and losses.
TOY = dict(trunk=dict(depth=1), losses=[dict(type='UniVLCLoss')])
SHALLOW = [f'model.trunk.{part}.depth=1' for part in PARTS]
CONFIG = """
default_scope = 'omnivl'
model = {model!r}
steps = [dict(type='LoadImage'), dict(type='TokenizeText', max_length=9), dict(type='PackSample')]
clips = [dict(type='LoadVideo', num_frames=4), *steps[1:]]
photos = dict(type='BLIPCaptionJSON', ann_file='{folder}/photos.json', visual_root='{folder}')
videos = dict(type='WebVidCSV', ann_file='{folder}/gone.csv', visual_root='{folder}')
train_dataloader = dict(
    image=dict(batch_size=6, dataset=dict(type='PairDataset', name='photos', annotations=photos, pipeline=steps)),
    video=dict(batch_size=4, dataset=dict(type='PairDataset', name='clips', annotations=videos, pipeline=clips)),
)
train_cfg = dict(type='AlternatingTrainLoop', max_epochs=3, epoch_by='image', proportions=dict(image=2, video=1))
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    constructor='DecayGroupsConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, fused=True),
)
default_hooks = dict(checkpoint=dict(interval=4, max_keep_ckpts=2))
"""


def benchmark():
    spec = importlib.util.spec_from_file_location('plan_benchmark', ROOT / 'tools/benchmarks/plan.py')
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def config(tmp_path, tiny_config):
    """A config with 50 photos of 1000 bytes, and clips that are not there."""
    rows = [dict(image=f'{number % 10}.jpg', caption=f'w{number}') for number in range(50)]
    (tmp_path / 'photos.json').write_text(json.dumps(rows))
    for number in range(10):
        (tmp_path / f'{number}.jpg').write_bytes(bytes(1000))
    path = tmp_path / 'own.py'
    path.write_text(CONFIG.format(model=tiny_config(**TOY), folder=tmp_path))
    return path


@pytest.fixture
def plan(capsys):
    """A function that runs the command and returns its JSON, or with ``text=True`` what it prints."""

    def call(config, *options, text=False):
        run_command('plan', [str(config), *map(str, options), *([] if text else ['--json'])])
        printed = capsys.readouterr().out
        return printed if text else json.loads(printed)

    return call


@pytest.fixture
def own(plan, config):
    """A function that plans the tiny config, with 33 clips."""
    return lambda *options, text=False: plan(config, '--samples', 'clips=33', *options, text=text)


def sets_of(value):
    """Yield the names of all data sets in a config."""
    if isinstance(value, dict):
        if 'annotations' in value and 'name' in value:
            yield value['name']
        value = list(value.values())
    for one in value if isinstance(value, list | tuple) else ():
        yield from sets_of(one)


@pytest.mark.parametrize('name', CONFIGS)
def test_the_size_of_every_set_is_known(name):
    cfg = read_config(ROOT / f'configs/omnivl/{name}.py').to_dict()
    loaders = [cfg.get(f'{role}_{key}') for role in ('train', 'test') for key in ('dataloader', 'evaluator')]
    found = set(sets_of(loaders))
    assert found and found <= ITEMS.keys()


@pytest.mark.parametrize('name', KINDS)
def test_a_config_of_every_kind_can_be_planned(name, plan):
    """At their own batch sizes; with one block per part, since a rehearsal of twelve takes twelve times as long."""
    found = plan(name, '--cfg-options', *SHALLOW)
    assert found['tasks'] and all(task['steps'] > 0 and task['memory']['peak'] > 0 for task in found['tasks'].values())
    (planned,) = found['plans'].values()
    assert planned['runs'][0]['days'] > 0 if found['kind'] == 'training' else planned['seconds']['0.15'] > 0


@pytest.mark.parametrize(
    ('modality', 'precision', 'checkpointing'), [('image', 'bf16', False), ('video', 'fp32', True)]
)
def test_memory_is_that_of_a_real_step(modality, precision, checkpointing):
    module = benchmark()
    load = Load(modality, flops.Sizes(64, 4, 12), 6, None, precision, checkpointing=checkpointing)
    row = module.row_of(module.Case(64, 2, load))
    assert row['ratio'] == pytest.approx(1, abs=0.15)


def test_recomputing_takes_less_and_accumulating_more(tiny_config):
    rehearsal = Rehearsal(tiny_config(**TOY), dict(optimizer=dict(type='AdamW', lr=1e-3)))
    load = Load('video', flops.Sizes(32, 4, 9), 8)
    plain = rehearsal.step(load)
    assert rehearsal.recomputed(load).activations < plain.activations
    assert rehearsal.recomputed(load, False) == plain, 'a rehearsal leaves nothing behind'
    accumulating = rehearsal.step(replace(load, accumulates=True))
    taken = rehearsal.ledger.peak
    assert rehearsal.step(load) is plain and rehearsal.ledger.peak == taken, 'it is taken once'
    assert accumulating.peak > plain.peak
    assert F.dropout is torch.nn.functional.dropout and F.layer_norm.__module__ == 'torch.nn.functional'


def test_what_lasts_is_worked_out_by_hand(tiny_model, tiny_config):
    model = tiny_model(trunk=TOY['trunk'])
    momentum = sum(one.numel() for one in model.momentum_encoder.parameters())
    trained = sum(one.numel() for one in model.parameters()) - momentum
    tensors = sum(one.requires_grad for one in model.parameters())
    rehearsal = Rehearsal(tiny_config(trunk=TOY['trunk']), dict(optimizer=dict(type='AdamW', lr=1e-3)))
    memory = rehearsal.step(Load('video', flops.Sizes(32, 4, 9), 2))
    unused = sum(one.numel() for one in model.trunk.visual_encoder.image_tokenizer.parameters())  # by a step of clips
    assert memory.weights == 4 * trained and memory.gradients == 4 * (trained - unused)
    assert memory.optimizer == 8 * trained + 4 * tensors  # two moments, and a count of steps for each tensor
    assert memory.momentum_encoder == 4 * momentum + 8
    assert memory.batch == 4 * 2 * 4 * 3 * 32**2 + 2 * 9 * (8 + 1) + 3 * 2 * 8 + 2 * 4


@pytest.mark.slow
def test_steps_and_sums_are_worked_out_by_hand(own, tiny_config):
    found = own('--gpus', 2, '--gpus-per-node', 1, '--measured', 'image=2', 'video=3', '--file-kb', 'video=500')
    counted = flops.measure(flops.build_model(tiny_config(**TOY)), flops.Sizes(32, 4, 9))
    total = counted.pop('total')
    for modality, task in found['tasks'].items():
        column = f'{modality} step'
        assert task['flops'] == {name: part.flops[column] for name, part in counted.items() if column in part.flops}
        assert task['step_flops'] == task['batch_size'] * total.flops[column]
    image, video = found['tasks']['image'], found['tasks']['video']
    assert image['sources'][0] == dict(name='photos', items=50, origin='counted', file_bytes=1000.0)
    assert image['steps'] == 3 * (50 // 12) and video['steps'] == 6  # two of images to one of clips
    (planned,) = found['plans'].values()
    (run,) = planned['runs']
    assert run['days'] == pytest.approx((12 * 2 + 6 * 3) / 86400)
    loaders = run['tasks']['image']
    assert loaders['loader_samples_per_second_per_node'] == pytest.approx(12 * 6 / 42)
    assert loaders['loader_file_bytes_per_second_per_node'] == pytest.approx(12 * 6 / 42 * 1000)
    assert loaders['loader_pixel_bytes_per_second_per_node'] == pytest.approx(12 * 6 / 42 * 3 * 32**2)
    trained = found['training']['trained']
    assert loaders['network_bytes']['gradients'] == trained * 4  # 2 (N - 1) / N of them
    assert loaders['network_bytes']['features'] == 6 * (2 * 8 * 4 + 8)  # two vectors and a label from the other card
    assert planned['memory']['image']['step_bytes'] == image['memory']['peak'] + image['memory']['gradients']
    memory = image['memory']
    size = memory['weights'] + memory['optimizer'] + memory['momentum_encoder'] + memory['queues']
    assert found['checkpoints'] == dict(bytes=size, kept=2, disk_bytes=2 * size)
    text = show(found)
    for words in ('days', 'read from disk, MB/s', 'buckets of DDP', 'in shards (FSDP2', 'H100 data sheet'):
        assert words in text
    assert 'not known' not in text


def leave_images_out(config):
    """Make it a training of clips alone."""
    lines = config.read_text().splitlines(keepends=True)
    config.write_text(
        ''.join(line for line in lines if not line.startswith('    image=')).replace(
            "epoch_by='image', proportions=dict(image=2, video=1)", "epoch_by='video'"
        )
    )


def test_views_are_samples_of_a_step_and_not_of_the_set(own, config):
    leave_images_out(config)
    before = own()['tasks']['video']
    views = "[clips[0], dict(type='AugmentedViews', transforms=[dict(type='RandomFlip')]), *clips[1:]]"
    text = config.read_text()
    config.write_text(text.replace('annotations=videos, pipeline=clips', f'annotations=videos, pipeline={views}'))
    after = own()['tasks']['video']
    assert (before['sizes']['views'], after['sizes']['views']) == (1, 2)
    assert (after['batch_size'], after['steps'], after['items']) == (4, before['steps'], 33)
    assert after['memory']['batch'] > 1.9 * before['memory']['batch']
    assert after['step_flops'] > 1.9 * before['step_flops']


def test_sharding_by_hand():
    training = Training('bf16', 1, 100, 0, True, False, 0.75, 20, None, None)
    memory = Memory(400, 400, 800, 300, 50, 10, 1000, 2000)
    passing = 1000 + 10 + 50  # more than what the peak leaves without gradients: 2000 - 1500 - 400
    lasting = 400 + 400 + 800 + 300
    assert fsdp_bytes(memory, training, 4) == int(lasting * (0.75 / 4 + 0.25)) + passing + 20
    assert step_bytes(memory, training, 4) == 2000 + 400
    assert step_bytes(memory, replace(training, fully_sharded=True), 4) == fsdp_bytes(memory, training, 4)


def test_a_way_that_is_given_is_one(config, plan):
    """What does not fit, fits after the changes that are named."""
    leave_images_out(config)
    options = ['--margin', 0, '--samples', 'clips=33']
    limit = 0.99 * plan(config, *options)['plans']['h100']['memory']['video']['step_bytes']
    tight = [*options, '--memory-gb', limit / 2**30]
    found = plan(config, *tight)
    video = found['plans']['h100']['memory']['video']
    smaller = [way for way in video['ways'] if 'batch_size' in way['change']]
    assert not video['fits'] and 'does NOT fit' in show(found)
    assert smaller and all(way['fits'] and way['bytes'] <= limit for way in smaller)
    changes = re.findall(r'\S+=\d+', smaller[0]['change'])
    again = plan(config, *tight, '--cfg-options', *changes)
    assert len(changes) == 2 and again['plans']['h100']['memory']['video']['step_bytes'] == smaller[0]['bytes']


def test_a_work_directory_says_its_times(tmp_path):
    folder = tmp_path / 'run/1/vis_data'
    folder.mkdir(parents=True)
    lines = ['{"image/samples_per_second": 1}', '{"image/samples_per_second": 3.0, "video/samples_per_second": 8.0}']
    (folder / 'scalars.json').write_text('\n'.join(lines))
    tasks = [Task(name, name, flops.Sizes(32, 4, 9), size) for name, size in (('image', 6), ('video', 4))]
    assert read_measured([str(tmp_path / 'run')], tasks) == dict(image=2.0, video=0.5)


def test_several_cards_are_compared(own):
    text = own('--gpu', 'h100', 'v100', '--mfu', 0.1, 0.2, '--cfg-options', 'optim_wrapper.precision=bf16', text=True)
    rows = [line for line in text.splitlines() if line.startswith('NVIDIA')]
    assert len(rows) == 3 and 'V100 32GB SXM2 has no bf16: set optim_wrapper.precision=fp16' in rows[2]
    for key in ('photos', 'counted', 'momentum encoder', 'days at 10% of the peak', 'a checkpoint has'):
        assert key in text


def test_a_cpu_is_measured():
    cpu = find_gpu('cpu')
    assert cpu.single > 1e8 and cpu.half > 1e7 and cpu.memory > 2**28
    assert find_gpu('h100', memory_gb=94, tflops=835).half == 835e12 and find_gpu('h100', 94).memory == 94 * 2**30
    assert 'CPU of this machine' in cpu.title


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--gpus', '0'], '--gpus must be at least 1, got 0'),
        (['--mfu', '15'], r'--mfu is a share of the peak in \(0, 1\], got 15'),
        (['--margin', '1'], r'--margin must be in \[0, 1\), got 1'),
        (['--memory-gb', '-1'], '--memory-gb must be above 0, got -1'),
        (['--gpu', 'h1000'], "invalid choice: 'h1000'"),
        (['--samples', 'clips=many'], "--samples takes NAME=NUMBER with a number above 0, got 'clips=many'"),
        (['--samples', 'clip=3'], 'gone.csv.*--samples clips=NUMBER .--samples has clip.'),
        ([], 'how large is clips.*gone.csv.*--samples clips=NUMBER'),
        (['--samples', 'clips=33', 'dogs=1'], "--samples names 'dogs'; the config has clips, photos"),
        (['--samples', 'clips=33', '--file-kb', 'sound=3'], "--file-kb names 'sound'; the config has clips, image"),
        (['--samples', 'clips=33', '--measured', 'image=1'], '--measured names image; .* every task: image, video'),
        (['--samples', 'clips=33', '--measured', 'gone'], 'there is no folder gone'),
        (['--samples', 'clips=33', '--measured', '.'], 'has logged no samples_per_second of image, video'),
        (['--samples', 'clips=33', '--gpus', '9'], 'image has 50 samples, fewer than one batch of 9 GPUs x 6'),
        (['--cfg-options', 'optim_wrapper.precision=fp8'], "precision is 'fp8'; allowed: fp32, bf16, fp16"),
        (['--cfg-options', 'train_dataloader.image.batch_size=0'], 'image has no batch_size, a whole number from 1 on'),
        (['--cfg-options', 'train_cfg.type=IterBasedTrainLoop'], 'train_cfg.type must be AlternatingTrainLoop'),
        (['--cfg-options', 'optim_wrapper={}'], 'has train_dataloader, but no optim_wrapper or no train_cfg'),
    ],
)
def test_bad_values_end_with_one_line(config, options, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if '--cfg-options' in options:
        options = ['--samples', 'clips=33', *options]
    with pytest.raises(SystemExit) as ended:
        run_command('plan', [str(config), *options])
    message = f'{ended.value.code} {capsys.readouterr().err.splitlines()[-1:]}'
    assert re.search(said, message), message


def test_a_config_of_nothing_cannot_be_planned(tmp_path, tiny_config, capsys):
    path = tmp_path / 'bare.py'
    path.write_text(f"default_scope = 'omnivl'\nmodel = {tiny_config()!r}\n")
    with pytest.raises(SystemExit, match='neither train_dataloader nor test_dataloader: there is nothing to plan'):
        run_command('plan', [str(path)])


def test_the_door_is_open():
    done = subprocess.run([sys.executable, 'tools/plan_run.py', '--help'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and 'python tools/plan_run.py pretrain_joint' in done.stdout


def test_cards_have_a_source_and_tables_columns():
    assert all(gpu.source and gpu.half > gpu.single for gpu in GPUS.values())
    assert table([['a', 'bb'], ['ccc', 'd']]) == ['a    bb', '-------', 'ccc   d']
