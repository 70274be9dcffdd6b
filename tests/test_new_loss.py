"""A fourth loss of pretraining is one new file and one line of a config: no file of ``omnivl/`` is touched."""

import sys
from collections import Counter
from dataclasses import replace

import pytest
import torch

from omnivl.engine import read_config
from omnivl.registry import MODELS

LOSS = '''
"""Every pair of the batch by itself: does it belong together? (SigLIP, 2303.15343)"""

import torch
import torch.nn.functional as F
from torch import nn

from omnivl.models.losses import StepLoss
from omnivl.registry import MODELS


@MODELS.register_module()
class SigmoidLoss(StepLoss):
    name = 'sigmoid'
    needs = ('visual_feature', 'text_feature', 'target_ids')

    def __init__(self, scale=10.0, bias=-10.0, weight=1.0):
        super().__init__(weight)
        self.scale = nn.Parameter(torch.tensor(scale))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, visual_feature, text_feature, target_ids):
        logits = self.scale * visual_feature @ text_feature.T + self.bias
        signs = torch.where(target_ids[:, None] == target_ids, 1.0, -1.0)
        return -self.weight * F.logsigmoid(signs * logits).sum(1).mean()
'''

CONFIG = """
custom_imports = dict(imports=['my_loss'], allow_failed_imports=False)
model = {model!r}
model['losses'] += [dict(type='SigmoidLoss')]
"""


@pytest.fixture
def model(tmp_path, monkeypatch, tiny_config):
    (tmp_path / 'my_loss.py').write_text(LOSS)
    (tmp_path / 'config.py').write_text(CONFIG.format(model=tiny_config()))
    monkeypatch.syspath_prepend(tmp_path)
    torch.manual_seed(0)
    yield MODELS.build(read_config(tmp_path / 'config.py').model).train()
    MODELS.module_dict.pop('SigmoidLoss')
    sys.modules.pop('my_loss')


@pytest.fixture
def calls(model, monkeypatch):
    """How often the parts of the model are used from now on."""
    calls = Counter()

    def counted(owner, name):
        function = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args: calls.update([name]) or function(*args))

    for name in ('encode', 'embed_text', 'project_visual', 'matching_key_values', 'writing_key_values'):
        counted(model.trunk, name)
    counted(model, 'momentum_features')
    counted(model.negatives, 'forward')
    return calls


def test_it_trains_and_is_logged(model, random_batch):
    assert model.loss_names == ('univlc', 'vlm', 'lm', 'sigmoid')
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = model.losses['sigmoid'].bias.item()
    found = [0.0, 0.0]
    for step in range(2):
        total, log = model.parse_losses(model.loss(random_batch()))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        found[step] = log['loss_sigmoid'].item()
    assert {f'loss_{name}' for name in model.loss_names} <= log.keys()
    assert log['loss'].item() == pytest.approx(sum(log[f'loss_{name}'].item() for name in model.loss_names))
    assert found[1] < found[0] and model.losses['sigmoid'].bias.item() != before


def test_its_value_is_that_of_the_definition(model, random_batch):
    batch = replace(random_batch(targets=[0, 1, 1, 2]), losses=('sigmoid',))
    visual = model.trunk.project_visual(model.encode(batch).pooled)
    text = model.trunk.embed_text(batch.text_ids, batch.text_mask)
    expected = 0.0
    for i in range(4):
        for j in range(4):
            logit = 10 * (visual[i] @ text[j]) - 10
            same = i == j or {i, j} == {1, 2}
            expected += torch.nn.functional.softplus(-logit if same else logit) / 4
    assert model.loss(batch)['loss_sigmoid'].item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_several_losses_need_is_computed_once(model, calls, random_batch):
    model.loss(random_batch())
    once = ('encode', 'embed_text', 'project_visual', 'matching_key_values')
    assert calls == dict.fromkeys((*once, 'momentum_features', 'forward'), 1)  # keys to write with are those to match


@pytest.mark.parametrize(
    ('losses', 'used'),
    [
        (('sigmoid',), {'encode', 'project_visual', 'embed_text'}),
        (('univlc',), {'encode', 'project_visual', 'embed_text', 'momentum_features'}),
        (('lm',), {'encode', 'matching_key_values'}),  # both decoders look up the same
        (
            ('sigmoid', 'vlm'),
            {'encode', 'project_visual', 'embed_text', 'matching_key_values', 'forward'},
        ),
    ],
)
def test_a_task_computes_its_own_losses_and_nothing_that_only_others_need(model, calls, random_batch, losses, used):
    found = model.loss(replace(random_batch(), losses=losses))
    assert {name for name in found if name.startswith('loss_')} == {f'loss_{name}' for name in losses}
    assert set(calls) == used


def test_labels_are_asked_for_by_the_losses_that_need_them(model, random_batch):
    batch = replace(random_batch(), target_ids=None)
    assert set(model.loss(replace(batch, losses=('lm',)))) == {'loss_lm'}
    for losses in (('sigmoid',), ('univlc',)):
        with pytest.raises(ValueError, match='a sample has no target_id'):
            model.loss(replace(batch, losses=losses))
    assert int(model.momentum_encoder.num_updates) == 0
