"""Each kind of config of the project through the runner, on clips with sound: training, resuming, testing."""

from pathlib import Path

import pytest
import torch
from vatt_runs import COLOURS, shrink, write_world

from omnivl.apis import OmniVLInferencer
from omnivl.commands.study.describe import load_study
from omnivl.commands.study.plan import Planner
from omnivl.datasets.transforms.audio import NO_STREAM
from omnivl.engine import OmniVLRunner, check_config, read_config
from omnivl.registry import EVALUATIONS
from omnivl.storage import load_checkpoint

ROOT = Path(__file__).parents[3]
CONFIGS = Path('projects/vatt/configs')


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp('world')
    write_world(root)
    return root


@pytest.fixture(autouse=True)
def from_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def tiny(name, world, folder, **changes):
    cfg = shrink(read_config(CONFIGS / f'{name}.py'), world)
    cfg.merge_from_dict(changes)
    cfg.work_dir = str(folder)
    check_config(cfg)
    return cfg


@pytest.mark.parametrize('name', ['pretrain_bbs', 'pretrain_shared_medium'])
def test_pretraining_trains_tests_and_goes_on(name, world, tmp_path):
    whole = OmniVLRunner.from_cfg(tiny(name, world, tmp_path / 'whole'))
    before = {key: value.clone() for key, value in whole.model.state_dict().items()}
    whole.train()
    logged = whole.message_hub.log_scalars
    assert {'train/loss_video_audio', 'train/loss_video_text'} <= logged.keys()
    moved = {
        key.split('.')[1] for key, value in whole.model.state_dict().items() if not torch.equal(value, before[key])
    }
    assert moved == {'visual_encoder', 'audio_encoder', 'text_encoder', 'bridge'}
    metrics = whole.test()
    assert {'msrvtt.retrieval.t2v_r1', 'msrvtt.retrieval.v2t_r10'} <= metrics.keys()
    check_sounds(OmniVLInferencer.from_pretrained(tmp_path / 'whole', 'cpu'), world)

    first = tiny(name, world, tmp_path / 'run', **{'train_cfg.max_iters': 1})
    OmniVLRunner.from_cfg(first).train()
    OmniVLRunner.from_cfg(tiny(name, world, tmp_path / 'run', resume=True)).train()
    weights = [load_checkpoint(tmp_path / folder / 'iter_2.pth')['state_dict'] for folder in ('whole', 'run')]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def check_sounds(inferencer, world):
    """Clips are told by their sound, one of them has none, and sounds find clips and are found."""
    files, names = [world / f'{name}.mp4' for name in COLOURS], ['here is', 'is']
    rows = inferencer.classify(files, names, ['{}'], modality='audio')
    assert rows[-1]['error'] == NO_STREAM
    vector, texts = inferencer.features(files[0], 'audio')['feature'], inferencer.features(names)
    assert rows[0]['scores'] == pytest.approx({row['text']: row['feature'] @ vector for row in texts}, abs=1e-5)
    sound = world / 'red.wav'
    found = inferencer.retrieve(sound, [*files, sound])  # clips by their frames
    assert found['modality'] == 'audio' and len(found['results']) == 5
    near = {result['input']: result['similarity'] for result in found['results']}
    assert near[str(sound)] == max(near.values()) and near[str(sound)] == pytest.approx(1.0, abs=1e-5)
    before = inferencer.checksum
    with torch.no_grad():
        inferencer.model.parts['bridge'].audio_to_fine.bias += 1
    del inferencer.checksum
    assert inferencer.checksum != before  # an index would not hold for it any more


@pytest.mark.parametrize(
    ('name', 'metric'),
    [('action_kinetics400_base', 'video.classification.top1'), ('audio_audioset_base', 'audioset.classes.mAP')],
)
def test_finetuning_starts_from_pretraining(name, metric, world, tmp_path):
    start = OmniVLRunner.from_cfg(tiny('pretrain_bbs', world, tmp_path / 'start', **{'train_cfg.max_iters': 1}))
    start.train()
    cfg = tiny(name, world, tmp_path / 'tuned')
    cfg.load_from = dict(type='StageReader', file=str(tmp_path / 'start'))
    runner = OmniVLRunner.from_cfg(cfg)
    runner.train()
    assert 'train/loss_class' in runner.message_hub.log_scalars
    assert metric in runner.test()
    if name.startswith('audio'):
        inferencer = OmniVLInferencer.from_pretrained(tmp_path / 'tuned', 'cpu')
        with torch.no_grad():
            inferencer.model.head.bias += 3
        (row,) = inferencer.classify([world / 'red.mp4'], modality='audio')
        assert len(row['scores']) == 2 and min(row['scores'].values()) > 0.9  # each class by itself


def test_the_study_is_planned(tmp_path, monkeypatch):
    for name in ('OMNIVL_DEMO_DATA', 'OMNIVL_DEMO_WORK_DIR'):
        monkeypatch.setenv(name, 'none')
    study = load_study(ROOT / 'projects/vatt/study.py')
    plan = Planner(study, tmp_path).plan()
    assert len(plan.cells) == len(study.arms) * len(study.measures) * len(study.seeds)
    trained = {}
    for cell in plan.cells:
        trained.setdefault(cell.arm, set()).add(cell.test.start.key)
    assert len(trained) == len(study.arms)
    for measure in study.measures:
        config = read_config(measure.after.config if measure.after else CONFIGS / 'demo_pretrain.py')
        name = measure.metric.rpartition('.')[0]
        assert measure.metric.rpartition('.')[2].split('_')[-1] and EVALUATIONS.build(config.test_evaluator[name])
