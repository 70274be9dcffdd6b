"""What the runner adds to MMEngine's: weights to start from, compilation, seeds."""

import pytest
import torch
import toys
from mmengine.model import MMDistributedDataParallel
from runs import assert_equal, run_ranks, train
from torch import nn

from omnivl.engine import EvaluationLoop, OmniVLRunner
from omnivl.engine.fully_shard import FullyShard
from omnivl.registry import LOOPS
from omnivl.storage import CheckpointError, load_checkpoint
from omnivl.weights import WeightReport


def no_training():
    return dict.fromkeys(('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'))


def test_training_starts_from_the_weights_of_another_run(tmp_path):
    train(tmp_path / 'stage1', 'stage1')
    source = tmp_path / 'stage1/iter_10.pth'
    runner = train(tmp_path / 'stage2', 'stage2', load_from=str(source), stop=dict(after=1))
    assert runner.loaded_from == str(source)
    first = load_checkpoint(tmp_path / 'stage2/iter_1.pth')
    assert first['train_loop']['iteration'] == 1  # weights only: the new stage begins at its beginning
    assert first['state_dict']['steps'] == 11


def test_the_model_hears_of_loaded_weights_but_not_of_a_resume(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(toys.ToyModel, 'adapt_state_dict', lambda self, weights: calls.append('adapt'), raising=False)
    monkeypatch.setattr(toys.ToyModel, 'after_load', lambda self: calls.append('load'), raising=False)
    train(tmp_path / 'one', 'hears-1', stop=dict(after=1))
    train(tmp_path / 'one', 'hears-2', stop=dict(after=2), resume=True)
    assert calls == []
    train(tmp_path / 'two', 'hears-3', stop=dict(after=1), load_from=str(tmp_path / 'one/iter_2.pth'))
    assert calls == ['adapt', 'load']


def test_another_size_and_allowed_differences(tmp_path, make_runner):
    path = tmp_path / 'weights.pth'
    weights = toys.ToyModel().state_dict()
    weights['queue'] = torch.zeros(3, 4)
    weights['old.head'] = torch.zeros(1)
    torch.save(dict(state_dict=weights), path)
    runner = make_runner(**no_training())
    with pytest.raises(CheckpointError, match=r'queue \(checkpoint \(3, 4\), model \(8, 4\)\)'):
        runner.load_checkpoint(str(path))
    allowed = dict(allow_unexpected=['old.*'], skip_shapes=['queue'])
    runner = make_runner('allowed', load_options=allowed, load_from=str(path), **no_training())
    runner.load_or_resume()
    assert_equal(runner.model.state_dict()['head.weight'], weights['head.weight'], 'head.weight')


def test_other_sources_go_to_the_weight_readers(make_runner, monkeypatch):
    given = []

    def load(model, source):
        given.append((model, source))
        return [WeightReport(f'{one["type"]}({one["file"]})') for one in source]

    monkeypatch.setattr('omnivl.engine.runner.load_weights', load)
    source = [dict(type='TimmViTReader', file='a'), dict(type='BERTReader', file='b')]
    runner = make_runner(load_from=source, **no_training())
    runner.load_or_resume()
    assert given == [(runner.model, source)]
    assert runner.loaded_from == 'TimmViTReader(a); BERTReader(b)'


def test_compiled_is_the_same_run(tmp_path):
    # Not the default backend: it takes long, and makes other random numbers for dropout.
    train(tmp_path / 'compiled', 'compiled', compile=dict(backend='eager'))
    train(tmp_path / 'plain', 'plain', compile=False)
    one, two = (load_checkpoint(tmp_path / run / 'iter_10.pth')['state_dict'] for run in ('compiled', 'plain'))
    for key, value in one.items():
        torch.testing.assert_close(value, two[key], msg=key)


def seeds_of_ranks(root):
    for name, options in (('True', {}), ('False', dict(diff_rank_seed=False))):
        config = toys.toy_config(root, f'seeds-{name}', launcher='pytorch', **no_training())
        runner = OmniVLRunner.from_cfg(dict(config, randomness=dict(seed=3, **options)))
        dropped = nn.functional.dropout(torch.ones(64)).tolist()
        (root / f'{name}-{runner.rank}').write_text(f'{runner.seed}|{dropped}')


def test_ranks_share_the_seed_and_draw_apart_unless_asked(tmp_path):
    """No two have one dropout; the common seed rules the data, whatever each rank draws."""
    run_ranks(seeds_of_ranks, tmp_path)
    drawn = {name: (tmp_path / name).read_text().split('|') for name in ('True-0', 'True-1', 'False-0', 'False-1')}
    assert {seed for seed, _ in drawn.values()} == {'3'}
    assert drawn['True-0'] != drawn['True-1'] and drawn['False-0'] == drawn['False-1']


def test_remote_storage_is_not_supported(make_runner):
    with pytest.raises(ValueError, match='checkpoints are written to local files'):
        make_runner().save_checkpoint('a', 'b', backend_args=dict(backend='petrel'))


def test_default_scope_is_omnivl(make_runner):
    assert make_runner().default_scope.scope_name == 'omnivl'


def test_changing_one_option_of_a_default_hook_keeps_the_others(make_runner):
    """Else the validations of a run would be drawn at steps 1, 2, 3 instead of at its iterations."""
    runner = make_runner(default_hooks=dict(logger=dict(interval=7)))
    (logger,) = [hook for hook in runner.hooks if type(hook).__name__ == 'LoggerHook']
    assert logger.interval == 7 and logger.log_metric_by_epoch is False


@LOOPS.register_module(force=True)
class OwnEvaluationLoop(EvaluationLoop):
    """As a project derives it."""


@pytest.mark.parametrize(
    'kind', ['EvaluationLoop', 'omnivl.engine.EvaluationLoop', EvaluationLoop, 'OwnEvaluationLoop', OwnEvaluationLoop]
)
def test_every_evaluation_loop_is_told_its_stage(make_runner, kind):
    runner = make_runner(
        test_dataloader=dict(toy=toys.loader('image')),
        test_evaluator=dict(toy=dict(type='ToyEvaluation')),
        test_cfg=dict(type='EvaluationLoop'),
        **no_training(),
    )
    assert runner.build_test_loop(dict(type=kind)).stage == 'test'


class OwnWrapper(MMDistributedDataParallel):
    """As a project derives it."""


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ({}, MMDistributedDataParallel),
        (dict(type='MMDistributedDataParallel'), MMDistributedDataParallel),
        (dict(type=MMDistributedDataParallel), MMDistributedDataParallel),
        (dict(type=OwnWrapper), OwnWrapper),
    ],
)
def test_every_wrapper_of_ddp_gets_what_a_cpu_needs(make_runner, monkeypatch, kind, expected):
    runner = make_runner(**no_training())
    monkeypatch.setattr('omnivl.engine.runner.wrap_distributed', lambda model, wrapper, options: (wrapper, options))
    runner._distributed = True
    assert runner.wrap_model(dict(kind, static_graph=True), toys.ToyModel()) == (expected, dict(static_graph=True))


@pytest.mark.parametrize('kind', ['FullyShard', 'omnivl.engine.fully_shard.FullyShard', FullyShard])
def test_shards_are_asked_for_by_any_of_their_names(make_runner, monkeypatch, kind):
    runner = make_runner(**no_training())
    runner._distributed = True
    monkeypatch.setattr(FullyShard, '__init__', lambda self, module, **given: setattr(self, 'given', given))
    monkeypatch.setattr(FullyShard, '__setattr__', object.__setattr__)
    assert runner.wrap_model(dict(type=kind, param_dtype='bf16'), runner.model).given == dict(param_dtype='bf16')
    with pytest.raises(ValueError, match=r"model_wrapper_cfg.type is 'Sharded'; ours are AlternatingDataPar"):
        runner.wrap_model(dict(type='Sharded'), runner.model)
