"""UniFormerV2 through the tools: training, resuming, testing, exporting, classifying, two processes, counting."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel
from uniformer_world import SIZE, make_classifier

from omnivl.commands.flops.counting import Sizes, measure
from omnivl.commands.main import run_command
from omnivl.engine import PrecisionOptimWrapper, read_config
from omnivl.engine.fully_shard import FullyShard
from omnivl.engine.identity import plain
from omnivl.storage import load_checkpoint
from omnivl.storage.tensor_shards import is_sharded, whole
from omnivl.structures import VLBatch
from projects.uniformerv2.tools import study
from projects.uniformerv2.tools.compare import load_model_file
from tests.forked import run_ranks

ROOT = Path(__file__).parents[3]
LOOPS = [f'{role}_{kind}' for role in ('train', 'val', 'test') for kind in ('dataloader', 'evaluator', 'cfg')]
KEPT = (
    *('model', 'optim_wrapper', 'param_scheduler', 'default_hooks', 'randomness', 'runner_type', 'default_scope'),
    *('env_cfg', 'allow_train_test_overlap', 'image_test_pipeline', 'video_test_pipeline', *LOOPS),
)


@pytest.fixture
def config_file(tmp_path, monkeypatch):
    """The demo's config on four clips of one colour each, as a file."""
    av = pytest.importorskip('av')
    rows = []
    for number, level in enumerate((20, 90, 160, 230)):
        with av.open(str(tmp_path / f'{number}.mp4'), 'w') as container:
            stream = container.add_stream('mpeg4', rate=8)
            stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
            for _ in range(8):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format='rgb24')
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        rows.append(f'{number}.mp4 {number % 2}')
    (tmp_path / 'list.txt').write_text('\n'.join(rows))
    (tmp_path / 'classes.txt').write_text('dark\nlight')
    monkeypatch.chdir(ROOT)
    cfg = read_config('projects/uniformerv2/configs/demo_action.py')
    paths = dict(ann_file=str(tmp_path / 'list.txt'), visual_root=str(tmp_path))
    annotations = dict(type='MMActionList', classes_file=str(tmp_path / 'classes.txt'), **paths)
    for loaders in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for loader in loaders.values():
            loader.dataset.annotations = annotations
            loader.num_workers, loader.batch_size = 0, 2
    pipeline = cfg.train_dataloader.video.dataset.pipeline
    pipeline[-3:-1] = [dict(type='AugmentedViews', transforms=pipeline[-3:-1])]  # as on Something-Something
    views = cfg.test_dataloader['video.classification'].dataset.pipeline
    views[0].num_clips, views[2] = 2, dict(type='ThreeCrop', size=64)
    cfg.model.num_classes, cfg.train_cfg.max_iters, cfg.param_scheduler, cfg.load_from = 2, 4, [], None
    cfg.default_hooks.checkpoint.interval = 2
    cfg.allow_train_test_overlap = True
    lines = [f'{key} = {plain(cfg[key])!r}' for key in KEPT if key in cfg]
    (tmp_path / 'tiny.py').write_text('\n'.join(lines))
    return tmp_path / 'tiny.py'


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['omnivl', *map(str, arguments[1:])])
    run_command(arguments[0])


@pytest.mark.slow
def test_train_resume_test_export_and_classify(monkeypatch, tmp_path, config_file, capsys):
    run, whole = tmp_path / 'run', tmp_path / 'whole'
    call(monkeypatch, 'train', config_file, '--work-dir', run, '--cfg-options', 'train_cfg.max_iters=2')
    call(monkeypatch, 'train', config_file, '--work-dir', run, '--resume')
    call(monkeypatch, 'train', config_file, '--work-dir', whole)
    weights = [load_checkpoint(folder / 'iter_4.pth')['state_dict'] for folder in (run, whole)]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    call(monkeypatch, 'train', config_file, '--work-dir', tmp_path / 'half', '--amp', 'bf16')

    call(monkeypatch, 'test', config_file, run, '--work-dir', tmp_path / 'test')
    metrics = json.loads((tmp_path / 'test' / 'metrics.json').read_text())
    assert metrics['protocol'][study.TEST]['views'] == 6
    rows = json.loads((tmp_path / 'test' / 'predictions' / f'{study.TEST}.json').read_text())
    assert study.figures_of(metrics, rows)[study.TOP1] in (0.0, 25.0, 50.0, 75.0, 100.0)

    call(monkeypatch, 'export', run, '--out', tmp_path / 'exported')
    assert json.loads((tmp_path / 'exported' / 'config.json').read_text())['classes'] == ['dark', 'light']
    capsys.readouterr()
    answers = []
    for model in ([tmp_path / 'exported'], [config_file, run]):
        call(monkeypatch, 'classify', *model, tmp_path / '0.mp4', '--out', tmp_path / 'found.json')
        (row,) = json.loads((tmp_path / 'found.json').read_text())
        assert row['predicted'] in ('dark', 'light') and sum(row['scores'].values()) == pytest.approx(1)
        answers.append(row['scores'])
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)


class AsItIs(torch.nn.Module):
    """In the place of the data preprocessor."""

    def forward(self, batch, training):
        return (batch,)


def batch_of(rank=None):
    """A batch of four clips, or a rank's half of it."""
    frames = torch.randn(4, 2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
    labels = torch.tensor([0, 1, 2, 3])
    part = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    return VLBatch({'video': frames[part]}, labels=labels[part])


def gradients(rank=None):
    """The gradients of a batch, or of a rank's half of it in DDP; the head sees no dropout."""
    torch.set_num_threads(1)
    model = make_classifier().train()
    wrapped = model if rank is None else DistributedDataParallel(model)
    wrapped(batch_of(rank), mode='loss')['loss_class'].backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def sharded_gradients(rank):
    """What a step of FSDP2 takes from the weights at a learning rate of 1."""
    model = make_classifier().train()
    model.data_preprocessor = AsItIs()
    before = {name: value.clone() for name, value in model.named_parameters()}
    wrapped = FullyShard(model)
    assert any(is_sharded(parameter) for parameter in model.parameters())
    wrapped.train_step(batch_of(rank), PrecisionOptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0)))
    return {name: before[name] - value for name, value in whole(dict(model.named_parameters())).items()}


def work(folder):
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    torch.save((gradients(rank), sharded_gradients(rank)), folder / f'{rank}.pt')
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_gradients_of_one(tmp_path):
    run_ranks(work, tmp_path)
    expected = gradients()
    for rank in range(2):
        for found in torch.load(tmp_path / f'{rank}.pt'):  # of DDP, and in shards
            assert found.keys() == expected.keys()
            assert all(torch.allclose(found[name], value, atol=1e-6) for name, value in expected.items())


def test_its_operations_are_counted_without_texts():
    with torch.device('meta'):
        model = make_classifier(shake=False, num_local=2)
    parts = measure(model, Sizes(size=SIZE, frames=4, words=2))
    assert parts['visual encoder'].parameters == sum(p.numel() for p in model.trunk.parameters())
    assert 3 < parts['visual encoder'].flops['video forward'] / parts['visual encoder'].flops['image forward'] < 5


def test_the_table_of_the_study():
    one = [{study.TOP1: 80.0, study.PAIRS: 60.0, study.SHUFFLED: 40.0}]
    two = [*one, {study.TOP1: 90.0, study.PAIRS: 70.0, study.SHUFFLED: 40.0}]
    assert study.table({'a': two, 'b': one}).splitlines()[2:] == [
        '| a | 85.0 ± 7.1 | 65.0 ± 7.1 | 40.0 ± 0.0 |',
        '| b | 80.0 | 60.0 | 40.0 |',
    ]
    assert study.options_of('frame mean of the ViT', 1, smoke=False) == [
        'model.trunk.visual_encoder.num_local=0',
        'model.trunk.visual_encoder.global_layers=()',
        'randomness.seed=1',
    ]


def test_the_study_counts_which_way_a_motion_goes():
    """By hand: of four answers that name the true motion or its reverse, three are right; the fifth names neither."""
    answers = [('left', 'left'), ('left', 'right'), ('up', 'up'), ('down', 'down'), ('up', 'left')]
    rows = [{'label': f'moving {truth}', 'predicted': f'moving {answer}'} for truth, answer in answers]
    metrics = {'video': {'classification': {'top1': 60.0}, 'classification_shuffled': {'top1': 20.0}}}
    assert study.figures_of(metrics, rows) == {study.TOP1: 60.0, study.PAIRS: 75.0, study.SHUFFLED: 20.0}


def test_the_comparison_says_what_it_needs(tmp_path):
    with pytest.raises(SystemExit, match='is no checkout of OpenGVLab/UniFormerV2 or open-mmlab/mmaction2'):
        load_model_file(tmp_path)
