"""The study of CoCa on the demo: every variant takes steps and is tested, once, and the tables say what came out."""

import importlib
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest
import torch

from omnivl.models.tokenizers.text import train_vocabulary
from projects.coca.tools import cost, study
from projects.demo.corpus.manifest import SMOKE_PARAMETERS
from projects.demo.corpus.texts import training_texts
from projects.demo.corpus.write import write_corpus

ROOT = Path(__file__).parents[3]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A tiny corpus of the demo with its vocabulary, where the configs look for it."""
    folder = tmp_path / 'corpus'
    write_corpus(folder, SMOKE_PARAMETERS)
    words = train_vocabulary(training_texts(folder), size=1000)
    (folder / 'vocab.txt').write_text(''.join(f'{word}\n' for word in words))
    monkeypatch.setenv('OMNIVL_DEMO_DATA', str(folder))
    monkeypatch.chdir(ROOT)
    return folder


def test_every_variant_is_trained_and_tested_once(corpus, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'study'
    monkeypatch.setattr(sys, 'argv', ['study', '--smoke', '--seeds', '0', '--out', str(out)])
    study.main()
    kept = json.loads((out / 'figures.json').read_text())
    rows = {line.split(' | ')[0]: line for line in (out / 'table.md').read_text().splitlines()}
    assert set(kept['runs']) == set(study.VARIANTS) and all(f'| {variant}' in rows for variant in study.VARIANTS)
    assert rows['| contrast alone'].count(' - ') == 4 and rows['| contrast alone'].endswith('| - | - | - | - |')
    assert rows['| captions alone'].count(' - ') == 3 and rows['| captions alone'].startswith('| captions alone | - |')
    assert rows['| both losses'].count(' - ') == rows['| chance'].count(' - ') == 0
    losses = {'demo_pretrain': {'contrast', 'lm'}, 'demo_contrast': {'contrast'}, 'demo_captions': {'lm'}}
    for variant, (config, _) in study.VARIANTS.items():
        (run,) = out.glob(f'{variant.replace(" ", "_").replace(",", "")}_0')
        (log,) = run.glob('*/vis_data/scalars.json')
        logged = {key for line in log.read_text().splitlines() for key in json.loads(line)}
        assert {key.removeprefix('loss_') for key in logged if key.startswith('loss_')} == losses[config]

    monkeypatch.setattr(study, 'build_runner', lambda *_: pytest.fail('a finished run was done again'))
    quality = (out / 'table.md').read_text().split('\n\n')[0]
    capsys.readouterr()
    study.main()
    assert capsys.readouterr().out.startswith(quality)
    assert json.loads((out / 'figures.json').read_text())['runs'] == kept['runs']


def test_the_table_of_the_study():
    both = dict.fromkeys(study.FIGURES.values(), 10.0)
    rows = {
        'both': [both, {name: value + 10 for name, value in both.items()}],
        'captions': [{'image.caption.slots': 60.0}],
        'chance': [{'image.retrieval.t2i_r1': 0.5}, {'image.retrieval.t2i_r1': 0.5, 'image.caption.slots': 25.0}],
    }
    assert study.table(rows).splitlines()[2:] == [
        '| both | ' + ' | '.join(['15.0 ± 7.1'] * 7) + ' |',
        '| captions | - | - | - | 60.0 | - | - | - |',
        '| chance | 0.5 | - | - | 25.0 | - | - | - |',
    ]


def test_memory_is_counted_once_and_without_what_stays():
    layer = torch.nn.Linear(1024, 512, bias=False)  # 2 MiB
    x = torch.randn(256, 1024, requires_grad=True)  # 1 MiB
    assert cost.mebibytes([x, x[:1], layer.weight]) == 3
    assert cost.mebibytes([x, layer.weight], without=layer.parameters()) == 1

    class Squares(torch.nn.Module):
        def loss(self, batch):
            return dict(loss_square=layer(batch).square().sum(), temperature=torch.ones(()))

    kept = cost.kept_for_backward(Squares(), x)
    assert cost.mebibytes(kept, without=layer.parameters()) == 1.5  # x, and what is squared


def test_the_cost_is_of_equal_encoders_and_batches(monkeypatch):
    monkeypatch.chdir(ROOT)
    models = cost.make_models()
    coca, omnivl = (
        {name: value.shape for name, value in model.trunk.visual_encoder.state_dict().items()}
        for model in models.values()
    )
    assert coca == omnivl
    costs = {'CoCa': cost.Cost(1_500_000, [0.2, 0.1, 0.3], 8.0, 5.0), 'OmniVL': cost.Cost(3_000_000, [0.4], 4.0, 10.0)}
    assert cost.cost_table(costs).splitlines()[2:] == [
        '| CoCa | 1.50 | 0.200 (0.100 to 0.300) | 8.0 | 5.0 |',
        '| OmniVL | 3.00 | 0.400 (0.400 to 0.400) | 4.0 | 10.0 |',
        '| CoCa / OmniVL | 0.50 | 0.50 | 2.00 | 0.50 |',
    ]


def test_the_comparison_leaves_out_captions_where_open_clip_cannot_write(monkeypatch, capsys):
    """As with transformers 4.57 and later: open_clip can be read, and says of its ways to write that there is none."""
    open_clip, coca_model = ModuleType('open_clip'), ModuleType('open_clip.coca_model')
    open_clip.coca_model, open_clip.get_model_config = coca_model, lambda name: {}
    coca_model.GENERATION_TYPES, coca_model.CoCa = dict(top_k=None), None
    for name, module in (('open_clip', open_clip), ('open_clip.coca_model', coca_model)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, 'projects.coca.tools.compare', raising=False)
    compare = importlib.import_module('projects.coca.tools.compare')
    monkeypatch.delitem(sys.modules, 'projects.coca.tools.compare')
    for name in ('make_theirs', 'make_ours', 'compare_captions'):
        monkeypatch.setattr(compare, name, lambda *_: None)
    monkeypatch.setattr(compare.tempfile, 'TemporaryDirectory', lambda: nullcontext('folder'))
    monkeypatch.setattr(compare, 'compare_tokens', lambda folder: '4 of 4 equal')
    monkeypatch.setattr(compare, 'compare_numbers', lambda *_: {'logits': 1e-6, 'text embedding': 1e-7})
    assert compare.check('base')
    assert 'captions: not compared, open_clip needs transformers<4.57, not ' in capsys.readouterr().out
    coca_model.GENERATION_TYPES = dict(top_k=object)
    monkeypatch.setattr(compare, 'compare_captions', lambda *_: {'greedy captions': '3 of 4 equal, of 5 tokens'})
    assert not compare.check('base')
