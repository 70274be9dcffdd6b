"""Every study of this project can be planned: its configs take its changes, and have the tests that it asks for."""

import os
from pathlib import Path

import pytest

from omnivl.commands.study.describe import Stage, load_study
from omnivl.commands.study.plan import Planner
from omnivl.engine import read_config
from omnivl.registry import MODELS
from projects.demo.corpus.world import ACTIONS, HARD_WORLD
from projects.studies._common import ANSWERS, CORPUS
from projects.studies.choices import CHOICES
from projects.studies.claim_b import LABELLED, with_labels

FOLDER = Path(__file__).parents[1]
ROOT = FOLDER.parents[1]
STUDIES = sorted(path.stem for path in FOLDER.glob('[!_]*.py'))
SEEDS = 5


@pytest.fixture(autouse=True)
def from_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in ('OMNIVL_DEMO_DATA', 'OMNIVL_DEMO_WORK_DIR'):
        monkeypatch.setenv(name, os.environ.get(name, 'none'))


def stages_of(stage):
    return [*([] if stage.start is None else stages_of(stage.start)), stage]


@pytest.mark.parametrize('name', STUDIES)
def test_a_study_is_planned(name, tmp_path):
    study = load_study(FOLDER / f'{name}.py')
    plan = Planner(study, tmp_path).plan()
    assert len(plan.cells) == len(study.arms) * len(study.measures) * SEEDS * len(study.budgets)
    assert len(study.seeds) == SEEDS and 0 not in study.seeds
    firsts = {
        cell.arm: cell.test.needs[0].key for cell in plan.cells if (cell.seed, cell.budget) == (1, study.budgets[0])
    }
    if name in ('claim_a', 'claim_c'):  # arms of the others change the first stage, too
        assert len(set(firsts.values())) < len(study.arms)
    # No two arms are the same by mistake.
    trained = {}
    for cell in plan.cells:
        trained.setdefault((cell.seed, cell.budget, cell.test.start.key), set()).add(cell.arm)
    assert all(len(arms) == 1 for arms in trained.values())
    assert {arm for pair in study.pairs for arm in pair} == set(study.arms)


def test_studies_are_those_of_the_readme():
    text = (FOLDER / 'README.md').read_text()
    assert (
        [name for name in STUDIES if f'`{name}.py`' in text] == STUDIES == ['choices', 'claim_a', 'claim_b', 'claim_c']
    )
    counts = dict(nine=HARD_WORLD.colours, seven=HARD_WORLD.shapes, eight=HARD_WORLD.relations)
    assert [len(words) for words in counts.values()] == [9, 7, 8] and all(f'{word} ' in text for word in counts)
    assert f'{len(HARD_WORLD.unseen)}\ncolour-shape pairs of {len(HARD_WORLD.things)}' in text


def test_claim_a_has_equal_operations():
    """Those of projects/demo/configs/_base_/budget.py; tests/test_arms.py counts what its costs stand for."""
    from projects.studies.claim_a import study

    spent = {}
    for arm, last in study.arms.items():
        for stage in stages_of(last):
            cfg = read_config(stage.config)
            shares = dict(cfg.train_cfg.get('proportions') or dict.fromkeys(cfg.train_dataloader, 1))
            costs = dict(image=0.3391, video=0.6385)
            step = sum(share * costs[name] for name, share in shares.items()) / sum(shares.values())
            spent[arm] = spent.get(arm, 0) + step * cfg.train_cfg.max_iters
    assert list(spent.values()) == pytest.approx([spent['decoupled']] * 5, rel=0.01)


def test_claim_c_goes_on_for_the_steps_of_the_joint_stage():
    from projects.studies.claim_c import study

    configs = {arm: read_config(stage.config) for arm, stage in study.arms.items()}
    steps = configs['joint'].train_cfg.max_iters // 2
    for arm, name in (('images_alone', 'image'), ('videos_alone', 'video')):
        cfg = configs[arm]
        assert list(cfg.train_dataloader) == [name] and cfg.train_cfg.max_iters == steps
        assert cfg.param_scheduler[1].end == steps
        assert cfg.optim_wrapper.optimizer.lr == configs['joint'].optim_wrapper.optimizer.lr


def test_parts_of_label_data_are_of_those_that_the_corpus_has():
    sizes = {name: int(CORPUS[CORPUS.index(f'--num-{name}s') + 1]) for name in LABELLED}
    assert [LABELLED['image'], LABELLED['video']] == [round(sizes['image'] * 0.25), round(sizes['video'] * 0.3)]
    without = read_config(str(FOLDER / 'configs/pretrain_joint_without_labels.py'))
    names = [[source.name for source in loader.dataset.datasets] for loader in without.train_dataloader.values()]
    assert names == [['demo_image_text'], ['demo_video_text']]
    demo, weights = read_config('projects/demo/configs/pretrain_joint.py'), 'train_dataloader.video.sampler.weights'
    whole = with_labels(1).changes[f'{weights}.demo_video_label']
    assert whole == demo.train_dataloader.video.sampler.weights.demo_video_label
    assert set(ANSWERS) == {'yes', 'no', '0', '1', '2', *HARD_WORLD.shapes, *HARD_WORLD.colours}
    assert len(ACTIONS) == 8


@pytest.mark.parametrize('name', CHOICES)
def test_a_choice_can_be_built(name, tmp_path, monkeypatch):
    vocabulary = tmp_path / 'vocab.txt'
    vocabulary.write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '[DEC]', '[ENC]', 'red']))
    monkeypatch.setenv('OMNIVL_DEMO_DATA', str(tmp_path))
    stage = Stage('projects/demo/configs/pretrain_joint.py', CHOICES[name])
    cfg = read_config(stage.config, options=dict(stage.changes))
    assert cfg.model != read_config(stage.config).model
    MODELS.build(cfg.model)
