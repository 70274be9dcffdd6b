"""The evaluation loop: names, files, and no trace in the training."""

import json
from pathlib import Path

import pytest
import torch
import toys
from runs import run_ranks, train

from omnivl.engine import ConfigError
from omnivl.engine.evaluation_loop import flat_names, nested, unchanged

NAMES = ('image.retrieval', 'image.retrieval_other', 'video.retrieval')


def evaluation(stage, names=NAMES, **options):
    return {
        f'{stage}_dataloader': {name: toys.loader('image', size=6) for name in names},
        f'{stage}_evaluator': {name: dict(type='ToyEvaluation') for name in names},
        f'{stage}_cfg': dict(type='EvaluationLoop', **options),
    }


def no_training():
    return dict.fromkeys(('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'))


def test_a_metric_is_named_after_its_evaluation():
    assert flat_names('image.retrieval', dict(t2i_r1=1)) == {'image.retrieval.t2i_r1': 1.0}


def test_the_tree_of_figures():
    assert nested({'a.b.c': 1, 'a.b.d': 2, 'e': 3}) == dict(a=dict(b=dict(c=1, d=2)), e=3)
    with pytest.raises(ValueError, match=r"'a\.b\.c' is below another metric"):
        nested({'a.b': 1, 'a.b.c': 2})
    with pytest.raises(ValueError, match=r"'a\.b' has other metrics below it"):
        nested({'a.b.c': 2, 'a.b': 1})


def test_test_writes_its_files(make_runner):
    runner = make_runner(**evaluation('test'), **no_training())
    metrics = runner.test()
    assert set(metrics) == {
        *('image.retrieval.r1', 'image.retrieval.r5', 'image.retrieval_other.r1', 'image.retrieval_other.r5'),
        *('video.retrieval.r1', 'video.retrieval.r5'),
    }
    written = json.loads(Path(runner.work_dir, 'metrics.json').read_text())
    assert written['image']['retrieval_other']['r5'] == 50.0
    assert written['chance']['video']['retrieval']['r1'] == 0.5
    assert set(written['protocol']) == set(written['seconds']) == set(NAMES)
    assert written['run']['missing'] == []
    rows = json.loads(Path(runner.work_dir, 'predictions/image.retrieval_other.json').read_text())
    assert [row['sample_id'] for row in rows] == ['0', '1']  # 6 samples in batches of 4


def test_an_evaluation_that_the_model_cannot_serve_is_refused_before_anything_runs(make_runner):
    runner = make_runner(**evaluation('val'))
    del runner.model.head
    with pytest.raises(TypeError, match=r'image\.retrieval needs a head'):
        runner.train()
    assert runner.iter == 0


def test_a_failing_evaluation_costs_no_figures_of_those_before(make_runner, monkeypatch):
    runner = make_runner(**evaluation('test'), **no_training())
    runner._test_loop = runner.build_test_loop(runner._test_loop)
    failing = runner.test_loop.evaluator['video.retrieval']
    monkeypatch.setattr(failing, 'run', lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.test()
    written = json.loads(Path(runner.work_dir, 'metrics.json').read_text())
    assert set(written['image']) == {'retrieval', 'retrieval_other'} and 'video' not in written
    assert written['run']['missing'] == ['video.retrieval']


def test_validation_chooses_the_best_checkpoint(make_runner):
    runner = make_runner(
        train_cfg=dict(type='AlternatingTrainLoop', max_iters=4, val_interval=1),
        default_hooks=dict(checkpoint=dict(interval=2, save_best='image.retrieval.r1')),
        **evaluation('val'),
    )
    runner.train()
    work_dir = Path(runner.work_dir)
    history = runner.message_hub.get_scalar('val/image.retrieval.r1').data[0]
    assert len(history) == 4
    best = int(history.argmax()) + 1
    assert [path.name for path in work_dir.glob('best*')] == [f'best_image.retrieval.r1_iter_{best}.pth']
    assert json.loads((work_dir / 'val/metrics.json').read_text())['run']['iteration'] == 4
    curves = next(work_dir.glob('*/vis_data/scalars.json')).read_text()
    assert sum('image.retrieval.r1' in line for line in curves.splitlines()) == 4


def test_modes_and_random_states_are_put_back():
    model = toys.ToyModel().train()
    model.norm.eval()  # as a frozen part
    before = torch.get_rng_state()
    with unchanged(model):
        assert not model.training and not torch.is_grad_enabled()
        torch.rand(1)
    assert model.training and not model.norm.training and torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)


def test_autocast_reaches_the_evaluation(make_runner, monkeypatch):
    seen = []
    monkeypatch.setattr(toys.ToyEvaluation, 'run', probe(toys.ToyEvaluation.run, seen))
    make_runner(**evaluation('test', NAMES[:1], amp='bf16'), **no_training()).test()
    assert seen == [torch.bfloat16]


def probe(run, seen):
    def probed(self, model, dataloader, progress):
        seen.append(model.head(torch.ones(1, 4)).dtype)
        return run(self, model, dataloader, progress)

    return probed


def validate_on_ranks(root):
    options = dict(train_cfg=dict(type='AlternatingTrainLoop', max_iters=1), launcher='pytorch')
    runner = train(root, 'val-ranks', **options, **evaluation('val'))
    value = runner.message_hub.get_scalar('val/image.retrieval.r1').current()
    (root / f'value_{runner.rank}').write_text(str(value))


def test_all_ranks_see_the_figures_of_the_first(tmp_path):
    run_ranks(validate_on_ranks, tmp_path)
    assert (tmp_path / 'value_0').read_text() == (tmp_path / 'value_1').read_text()


def test_what_servers_take_is_written_where_there_is_one(make_runner, tmp_path):
    config = evaluation('test', submission_dir=str(tmp_path / 'there'))
    config['test_evaluator']['video.retrieval']['answers'] = True
    make_runner(**config, **no_training()).test()
    assert [path.name for path in (tmp_path / 'there').iterdir()] == ['retrieval_results.json']
    assert json.loads((tmp_path / 'there/retrieval_results.json').read_text()) == ['0', '1']
    with pytest.raises(ConfigError, match=r'nothing to submit: .* of test_evaluator have no form for a server; VQAv2'):
        make_runner(**evaluation('test', submission_dir=str(tmp_path)), **no_training()).test()


def test_a_runner_that_only_tests(make_runner):
    config = {**evaluation('test', NAMES[:1]), **no_training()}
    runner = make_runner(**config)
    assert set(runner.test()) == {'image.retrieval.r1', 'image.retrieval.r5'}
    with pytest.raises(RuntimeError, match='Please provide `train_dataloader`, `train_cfg`, `optimizer`'):
        runner.train()


def test_bad_configs(make_runner):
    config = evaluation('test')
    config['test_evaluator'].pop('video.retrieval')
    with pytest.raises(ValueError, match='test_dataloader and test_evaluator must be dicts with the same names'):
        make_runner(**config, **no_training()).test()
    with pytest.raises(ValueError, match=r"test_cfg.amp is 'half'; allowed: None, 'bf16', 'fp16'"):
        make_runner(**evaluation('test', amp='half'), **no_training()).test()
