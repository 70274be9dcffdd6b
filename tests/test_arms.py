"""The paradigms of the paper's ablation: equal operations, batches and learning rates, as their headers say."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from omnivl.commands.flops.counting import Meter, Sizes, build_model
from omnivl.commands.plan.tasks import ITEMS
from omnivl.datasets.samplers import EpochSampler
from omnivl.engine.loops import AlternatingTrainLoop
from omnivl.engine.streams import LoaderStream

ROOT = Path(__file__).parents[1]
PARTS = ('visual_encoder', 'text_encoder', 'alignment_decoder', 'generation_decoder')
# The configs of each paradigm, one stage after the other.
ARMS = dict(
    image_only=['image_only'],
    video_only=['video_only'],
    joint_from_scratch=['joint_from_scratch'],
    image_then_video=['image', 'image_then_video'],
    decoupled=['image', 'joint'],
)
FOLDERS = {'paper': ('configs/omnivl', 64), 'demo': ('projects/demo/configs', 1)}  # and GPUs


def read(size, name):
    return Config.fromfile(ROOT / FOLDERS[size][0] / f'pretrain_{name}.py')


def updates_of(cfg, gpus):
    """Updates of each task, as the train loop deals them out."""
    streams = {}
    for name, loader in cfg.train_dataloader.items():
        items = range(sum(ITEMS.get(source.name, 10**6) for source in loader.dataset.datasets))
        batch = loader.batch_size * gpus
        data = DataLoader(items, batch, sampler=EpochSampler(items, batch, drop_last=True))
        streams[name] = LoaderStream(name, data, 0)
    options = {key: value for key, value in cfg.train_cfg.items() if key != 'type'}
    runner = SimpleNamespace(model=None, seed=0, work_dir='.', optim_wrapper=cfg.optim_wrapper)
    loop = AlternatingTrainLoop(runner, streams, **options)
    return Counter(loop.schedule.counts_before(loop.max_iters))


def cost_of(cfg, modality):
    """Operations of a training step on one sample; those of twelve layers follow from those of one and of two."""
    parts = [cfg.model.trunk[name] for name in PARTS]
    depths = {part.depth for part in parts}
    counts = []
    for depth in (1, 2) if len(depths) == 1 else (None,):
        for part in parts if depth else ():
            part.depth = depth
        sizes = Sizes(parts[0].image_size, parts[0].num_frames, words=30)
        counts.append(sum(Meter(build_model(cfg.model), modality, sizes, train=True).run().values()))
    return counts[0] + (max(depths) - 1) * (counts[1] - counts[0]) if len(counts) > 1 else counts[0]


@pytest.fixture(autouse=True)
def from_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    init_default_scope('omnivl')


@pytest.mark.parametrize('size', FOLDERS)
def test_paradigms_get_equal_operations_batches_and_learning_rates(size):
    gpus = FOLDERS[size][1]
    joint, told = read(size, 'joint'), read(size, 'image_only')
    batches = {name: loader.batch_size * gpus for name, loader in joint.train_dataloader.items()}
    unit = 1e15 if size == 'paper' else 1e9 * batches['image']
    costs = {name: batches[name] * cost_of(read(size, 'joint'), name) / unit for name in batches}
    assert [costs['image'], costs['video']] == pytest.approx([told.image_cost, told.video_cost], rel=0.01)
    totals, rates = {}, {}
    table = (ROOT / 'configs/_base_/budget.py').read_text()
    for arm, stages in ARMS.items():
        updates = Counter()
        for stage in (read(size, name) for name in stages):
            assert all(loader.batch_size * gpus == batches[name] for name, loader in stage.train_dataloader.items())
            updates += updates_of(stage, gpus)
        totals[arm] = sum(costs[name] * count for name, count in updates.items())
        rates[arm] = [read(size, name).optim_wrapper.optimizer.lr for name in stages]
        if size == 'paper':
            said = [f'{updates[name] / 1000:.1f}k' for name in updates]
            said += [f'{updates[name] * batches[name] / 1e6:.0f}M' for name in updates]
            assert any(all(f' {figure} ' in line for figure in said) for line in table.splitlines()), (arm, said)
    assert list(totals.values()) == pytest.approx([told.budget] * len(ARMS), rel=0.01)
    first, second = rates['decoupled']
    assert all(found == [first, second][: len(found)] for found in rates.values())


def test_the_budget_says_what_the_arms_do_in_their_headers():
    table = (ROOT / 'configs/_base_/budget.py').read_text().split('learning rate\n')[1]
    for name in ('image_only', 'image_then_video', 'joint_from_scratch', 'video_only'):
        header = (ROOT / f'configs/omnivl/pretrain_{name}.py').read_text().split('"""')[1]
        figures = [word.strip(',.;:') for word in header.split() if word.rstrip(',.;:')[:-1].replace('.', '').isdigit()]
        figures = [figure for figure in figures if figure[-1] in 'kM']
        assert len(figures) >= 2 and all(figure in table for figure in figures)
