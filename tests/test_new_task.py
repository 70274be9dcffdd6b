"""A new task is one new file and a config: no file of ``omnivl/`` is touched. Here: how many things are to be seen?

The file holds the model, its kind of step, its loss, what an evaluation asks of it, and the evaluation.
"""

import json
import sys

import pytest
from PIL import Image

from omnivl.engine import OmniVLRunner, read_config
from omnivl.errors import OmniVLTypeError
from omnivl.registry import EVALUATIONS, MODELS

TASK = '''
"""Counting: a number is read off the vector of a visual."""

from functools import cached_property
from typing import Protocol

import numpy as np
import torch.nn.functional as F
from torch import nn

from omnivl.evaluation import Evaluation, EvaluationResult
from omnivl.evaluation.base import batches
from omnivl.models.interfaces import serving
from omnivl.models.losses import StepLoss
from omnivl.models.tasks.base import TrainingStep, TrunkModel
from omnivl.registry import EVALUATIONS, MODELS


class Counts(Protocol):
    """Counts what is to be seen."""

    def count(self, batch): ...


@MODELS.register_module()
class CountLoss(StepLoss):
    name = 'count'
    needs = ('counted', 'labels')

    def forward(self, counted, labels):
        return F.mse_loss(counted, labels.float())


class CountingStep(TrainingStep):
    @cached_property
    def counted(self):
        return self.model.head(self.visual.pooled)[:, 0]

    @property
    def labels(self):
        return self.batch.labels


@MODELS.register_module()
class Counter(TrunkModel):
    step_type = CountingStep

    def __init__(self, trunk, **options):
        super().__init__(trunk=trunk, losses=[dict(type='CountLoss')], parts=('visual_encoder',), **options)
        self.head = nn.Linear(self.trunk.visual_encoder.width, 1)

    def count(self, batch):
        return self.head(self.encode(batch).pooled)[:, 0]


@EVALUATIONS.register_module()
class CountEvaluation(Evaluation):
    needs = (Counts,)

    def evaluate(self, model, dataloader, name):
        counts = serving(model, Counts, name)
        errors = []
        for batch, _ in batches(model, dataloader, name):
            errors += (counts.count(batch) - batch.labels).abs().tolist()
        return EvaluationResult({'error': float(np.mean(errors))}, {'error': 1.0}, [], {})
'''

CONFIG = """
custom_imports = dict(imports=['my_task'], allow_failed_imports=False)
model = dict(type='Counter', trunk={trunk!r})
work_dir = {root!r} + '/run'
dataset = dict(
    type='LabelDataset',
    annotations=dict(type='ImageNetFolder', visual_root={root!r}, split='train'),
    pipeline=[dict(type='LoadImage'), dict(type='PackSample')],
    name='spots',
)
train_dataloader = dict(count=dict(batch_size=3, sampler=dict(type='EpochSampler'), dataset=dataset))
train_cfg = dict(type='AlternatingTrainLoop', max_iters=20)
default_hooks = dict(logger=dict(interval=1))
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.01))
test_dataloader = dict(spots=dict(batch_size=3, dataset=dataset))
test_evaluator = dict(spots=dict(type='CountEvaluation'))
test_cfg = dict(type='EvaluationLoop')
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
log_level = 'WARNING'
"""


@pytest.fixture
def config(tmp_path, monkeypatch, tiny_trunk):
    """Pictures of no, one and two white spots, in folders of these names."""
    (tmp_path / 'my_task.py').write_text(TASK)
    for number in range(3):
        folder = tmp_path / 'train' / str(number)
        folder.mkdir(parents=True)
        picture = Image.new('RGB', (32, 32))
        for spot in range(number):
            picture.paste((255, 255, 255), (16 * spot, 0, 16 * spot + 8, 8))
        picture.save(folder / 'x.png')
    (tmp_path / 'config.py').write_text(CONFIG.format(trunk=tiny_trunk(), root=str(tmp_path)))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / 'config.py'
    sys.modules.pop('my_task')
    for registry, names in ((MODELS, ('Counter', 'CountLoss')), (EVALUATIONS, ('CountEvaluation',))):
        for name in names:
            registry.module_dict.pop(name)


def scalars(folder):
    """The lines of the log of values, of the one run in a folder."""
    (path,) = folder.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_runner_trains_and_evaluates_it(config, tmp_path):
    cfg = read_config(config)
    cfg.experiment_name = 'counting'  # MMEngine keeps loggers by name, for ever
    runner = OmniVLRunner.from_cfg(cfg)
    assert set(runner.model.parts) == {'visual_encoder'} and runner.model.loss_names == ('count',)
    before = runner.test()
    runner.train()
    after = runner.test()
    losses = [line['count/loss_count'] for line in scalars(tmp_path / 'run') if 'count/loss_count' in line]
    assert losses[-1] < losses[0]
    assert after['spots.error'] < before['spots.error']


def test_another_model_is_refused_with_what_it_lacks(config, tiny_model):
    evaluation = EVALUATIONS.build(read_config(config).test_evaluator.spots)
    with pytest.raises(OmniVLTypeError, match=r'needs a model that counts what is to be seen.* it has no count'):
        evaluation.check(tiny_model(), 'spots')
