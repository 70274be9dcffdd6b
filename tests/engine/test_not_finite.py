"""A loss or a gradient that is not finite: the update is left out, told of and kept, and no damage reaches the disk."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from mmengine.dist import get_rank
from mmengine.optim import OptimWrapper
from runs import assert_equal, run_ranks, train
from torch import Tensor, nn

from omnivl.engine import PrecisionOptimWrapper
from omnivl.registry import MODELS, STREAMS
from omnivl.storage import CheckpointError, load_checkpoint, save_checkpoint
from omnivl.structures import VLDataSample


@MODELS.register_module()
class SpoiltModel(toys.ToyModel):
    """A toy whose loss is NaN, or whose gradient is inf with a finite loss, in some forward passes (of one rank)."""

    def __init__(self, loss_at: tuple = (), gradient_at: tuple = (), rank: int = 0, norm: bool = False) -> None:
        super().__init__()
        self.loss_at, self.gradient_at, self.rank = loss_at, gradient_at, rank
        self.batch_norm = nn.BatchNorm1d(4) if norm else nn.Identity()

    def forward(self, inputs: Tensor, data_samples: list | None = None, **batch: object) -> dict[str, Tensor]:
        """Loss of a batch."""
        at = int(self.steps) + 1 if get_rank() == self.rank else -1
        spatial = self.spatial
        if at in self.gradient_at:
            self.spatial = Exploding(spatial)
        if at in self.loss_at:
            inputs = self.batch_norm(inputs * math.nan)
        else:
            inputs = self.batch_norm(inputs)
        losses = super().forward(inputs.nan_to_num() if at in self.loss_at else inputs, **batch)
        self.spatial = spatial
        factor = math.nan if at in self.loss_at else 1.0
        return {key: value * factor if 'loss' in key else value for key, value in losses.items()}


class Exploding(nn.Module):
    """A layer whose output has an infinite gradient in one place."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        """Let the layer work."""
        output = self.layer(inputs)
        output.register_hook(lambda gradient: gradient.index_fill(1, torch.tensor([2]), math.inf))
        return output


@STREAMS.register_module()
class NamedStream(toys.ToyStream):
    """Batches whose samples have names."""

    def __next__(self) -> dict:
        number, rank = self.given, get_rank()
        ids = np.arange(4)
        metas = [dict(source='web', sample_id=f'r{rank}b{number}s{place}', visual='a.jpg') for place in range(4)]
        samples = [VLDataSample(metainfo=meta) for meta in metas]
        for sample in samples:
            sample.text_ids = ids
        return super().__next__() | dict(data_samples=samples)


def options(model: dict, accumulate: int = 1, schedule: bool = False, **wrapper) -> dict:
    optimizer = dict(type='AdamW', lr=0.05)
    changes = dict(
        model=dict(type='SpoiltModel', **model),
        train_dataloader=dict(image=dict(type='NamedStream', batch_size=4)),
        train_cfg=dict(type='AlternatingTrainLoop', max_iters=8),
        optim_wrapper=dict(
            constructor='DecayGroupsConstructor', optimizer=optimizer, accumulative_counts=accumulate, **wrapper
        ),
        default_hooks=dict(logger=dict(interval=1), checkpoint=dict(interval=1)),
    )
    return changes if schedule else dict(changes, param_scheduler=None)


def log_of(runner) -> str:
    return next(Path(runner.log_dir).glob('*.log')).read_text()


def parameters_of(path: Path) -> dict[str, Tensor]:
    return {key: value for key, value in load_checkpoint(path)['state_dict'].items() if key not in ('queue', 'steps')}


def test_an_update_with_an_infinite_gradient_is_skipped_and_nothing_moves(tmp_path):
    changes = options(dict(gradient_at=(4,)), not_finite='skip')
    runner = train(tmp_path / 'run', 'gradient', log_level='INFO', **changes)
    before, after = (load_checkpoint(tmp_path / f'run/iter_{number}.pth') for number in (3, 4))
    assert_equal(before['optimizer']['state'], after['optimizer']['state'], 'optimizer')
    for name in ('spatial.weight', 'norm.weight', 'head.bias'):
        assert torch.equal(before['state_dict'][name], after['state_dict'][name])
    last = parameters_of(tmp_path / 'run/iter_8.pth')
    assert all(value.isfinite().all() for value in last.values())
    assert not torch.equal(last['head.weight'], after['state_dict']['head.weight'])  # and the run went on
    log = log_of(runner)
    told = (
        'iteration 4 (image): the norm of the gradients is not finite (nan; not finite: spatial.weight, spatial.bias)'
    )
    assert told in log and 'the update is left out, the weights are as they were; samples web/r0b3s0, ' in log
    assert 'skipped_updates: 1' in log and 'in them: 1\n' in log
    assert runner.message_hub.get_scalar('train/skipped_updates').data[0].tolist() == [1] * 5
    kept = torch.load(tmp_path / 'run/not_finite/iter_4_rank0.pth', weights_only=True)
    (part,) = kept['batches']
    assert (kept['iteration'], kept['task'], kept['gradients']) == (4, 'image', ['spatial.weight', 'spatial.bias'])
    assert part['batch']['inputs'].shape == (4, 4) and set(part['losses']) == {'loss', 'loss_fit', 'loss_twin'}
    assert [sample['sample_id'] for sample in part['batch']['data_samples']] == [f'r0b3s{n}' for n in range(4)]
    assert part['batch']['data_samples'][0]['text_ids'].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize('kind', ['gradient_at', 'loss_at'])
def test_the_run_stops_before_the_damage_and_its_checkpoint_is_resumed(tmp_path, kind):
    message = dict(
        gradient_at=r'iteration 4 \(image\): the norm of the gradients is not finite .*weights are as they were; '
        r"samples web/r0b3s0.*in .*not_finite/iter_4_rank0\.pth\. .*optim_wrapper\.not_finite='skip' goes on",
        loss_at=r'iteration 4 \(image\): a loss is not finite \(loss = nan, .*\); the update is left out',
    )[kind]
    with pytest.raises(FloatingPointError, match=message):
        train(tmp_path / 'run', f'stop-{kind}', **options({kind: (4,)}))
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']
    runner = train(tmp_path / 'run', f'stopped-{kind}', resume=True, **options({}))
    assert runner.iter == 8


def test_a_spoilt_batch_of_an_accumulation_costs_that_update_only(tmp_path):
    """The loss of batch 3 is NaN, so the update of batches 3 and 4 is left out."""
    runner = train(tmp_path / 'run', 'accumulate', **options(dict(loss_at=(3,)), accumulate=2, not_finite='skip'))
    saved = {number: parameters_of(tmp_path / f'run/iter_{number}.pth') for number in (1, 2, 3)}
    assert torch.equal(saved[1]['head.weight'], saved[2]['head.weight'])
    assert not torch.equal(saved[2]['head.weight'], saved[3]['head.weight'])
    assert 'iteration 2 (image): a loss is not finite (loss = nan' in log_of(runner)
    assert 'samples web/r0b2s0' in log_of(runner)  # of the batch before, whose loss it was
    kept = torch.load(tmp_path / 'run/not_finite/iter_2_rank0.pth', weights_only=True)
    assert [math.isnan(part['losses']['loss']) for part in kept['batches']] == [True, False]


def test_too_many_in_a_row_stop_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match=r'3 updates in a row, more than optim_wrapper\.max_skips=2'):
        train(tmp_path / 'run', 'row', **options(dict(gradient_at=(2, 4, 5, 6)), not_finite='skip', max_skips=2))
    assert load_checkpoint(tmp_path / 'run/iter_5.pth')['optimizer']['skipped'] == 3
    runner = train(tmp_path / 'run', 'row-2', resume=True, **options({}))
    assert runner.optim_wrapper.skipped == 3  # the count goes on


def spoilt_on_one_rank(root: Path) -> None:
    changes = options(dict(loss_at=(4,), rank=1), not_finite='skip')
    runner = train(root / 'run', 'ranks', launcher='pytorch', **changes)
    weights = [parameter.flatten().tolist() for parameter in runner.bare_model.parameters()]
    (root / f'weights_{runner.rank}').write_text(str((weights, runner.optim_wrapper.skipped)))
    if runner.rank == 0:
        (root / 'log').write_text(log_of(runner))


def test_a_loss_of_one_rank_is_skipped_by_all(tmp_path):
    run_ranks(spoilt_on_one_rank, tmp_path)
    texts = [(tmp_path / f'weights_{rank}').read_text() for rank in (0, 1)]
    assert texts[0] == texts[1] and texts[0].endswith(', 1)') and 'nan' not in texts[0]
    assert (
        'samples web/r0b3s0, web/r0b3s1, web/r0b3s2, web/r0b3s3, web/r1b3s0 and 3 more'
        in (tmp_path / 'log').read_text()
    )
    assert len(list((tmp_path / 'run/not_finite').iterdir())) == 2


def test_what_the_forward_pass_took_in_stops_the_run(tmp_path):
    """A batch norm moves before anybody knows; going on would evaluate NaN."""
    with pytest.raises(FloatingPointError, match=r'The model itself is not finite \(batch_norm\.running_mean, '):
        train(tmp_path / 'run', 'norm', **options(dict(loss_at=(4,), norm=True), not_finite='skip'))


def test_another_wrapper_cannot_leave_the_update_out(tmp_path):
    changes = options(dict(loss_at=(4,)), type='OptimWrapper')
    with pytest.raises(FloatingPointError, match=r'OptimWrapper steps all the same, so the weights are damaged'):
        train(tmp_path / 'run', 'other', **changes)


def wrapper_of(model: nn.Module, **options) -> PrecisionOptimWrapper:
    return PrecisionOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=1.0), **options)


@pytest.mark.parametrize(
    'clip', [None, dict(max_norm=0.1), dict(type='value', clip_value=0.1), dict(max_norm=0.1, norm_type=math.inf)]
)
def test_every_kind_of_clipping_looks_at_the_norm(clip):
    model = nn.Linear(2, 1)
    wrapper = wrapper_of(model, clip_grad=clip)
    before = model.weight.detach().clone()
    handle = model.weight.register_hook(lambda gradient: gradient * torch.tensor([1.0, math.inf]))
    wrapper.update_params(model.weight.sum())
    handle.remove()
    assert wrapper.left_out == math.inf and wrapper.spoiled == [model.weight] and model.weight.grad is None
    assert torch.equal(model.weight, before)
    wrapper.update_params((model.weight * torch.tensor([0.1, 0.1])).sum())
    assert wrapper.left_out is None and not torch.equal(model.weight, before) and wrapper.skipped == 1


@pytest.mark.parametrize('clip', [None, dict(max_norm=0.5), dict(type='value', clip_value=0.1)])
def test_finite_updates_are_those_of_mmengine_bit_for_bit(clip):
    results = []
    for make in (PrecisionOptimWrapper, OptimWrapper):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 1))
        given = dict(clip or dict(max_norm=math.inf))
        wrapper = make(torch.optim.AdamW(model.parameters(), lr=0.1), accumulative_counts=2, clip_grad=given)
        for _ in range(8):
            wrapper.update_params(model(torch.randn(5, 3)).square().mean())
        results.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.equal(*results)


def test_an_infinite_loss_with_finite_gradients_is_seen():
    model = nn.Linear(2, 1)
    wrapper = wrapper_of(model)
    wrapper.update_params(model.weight.sum() + math.inf)
    assert wrapper.left_out is not None and math.isnan(wrapper.left_out)


def test_what_to_do_is_checked():
    with pytest.raises(ValueError, match=r"not_finite is 'halve'; allowed with precision='fp32': 'stop', 'skip'"):
        wrapper_of(nn.Linear(1, 1), not_finite='halve')


def test_weights_that_are_not_finite_are_not_saved(make_runner):
    runner = make_runner(train_cfg=dict(type='AlternatingTrainLoop', max_iters=2))
    runner.train()
    with torch.no_grad():
        runner.bare_model.head.weight[0, 0] = math.nan
    with pytest.raises(
        FloatingPointError,
        match=r'iter_9\.pth is not written: 1 tensors are not finite \(state_dict\.head\.weight\). '
        r'The last checkpoint is .*iter_2\.pth; resume',
    ):
        runner.save_checkpoint(runner.work_dir, 'iter_9.pth')
    assert not Path(runner.work_dir, 'iter_9.pth').exists()


def test_a_damaged_checkpoint_of_before_is_passed_over(tmp_path):
    train(tmp_path / 'run', 'before', stop=dict(after=4))
    last = tmp_path / 'run/iter_4.pth'
    content = load_checkpoint(last)
    content['optimizer']['state'][0]['exp_avg'].fill_(math.nan)
    save_checkpoint(content, last)
    with pytest.raises(CheckpointError, match=r'1 tensors are not finite \(optimizer\.state\.0\.exp_avg\)'):
        train(tmp_path / 'other', 'before-2', resume=str(last))
    runner = train(tmp_path / 'run', 'before-3', stop=dict(after=5), resume=True)
    assert runner.loaded_from == str(tmp_path / 'run/iter_3.pth') and 'falling back' in log_of(runner)
