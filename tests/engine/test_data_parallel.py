"""DDP whose steps leave parameters out, against DDP that searches the graph of each step for them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as torch_dist
import toys
from mmengine.dist import get_rank
from mmengine.model import MMDistributedDataParallel
from runs import assert_equal, run_ranks, train
from torch import nn

from omnivl.engine import PrecisionOptimWrapper
from omnivl.engine.data_parallel import AlternatingDataParallel
from omnivl.engine.distributed import init_process_group, wrap_distributed
from omnivl.errors import OmniVLRuntimeError
from omnivl.registry import MODELS

TASKS = ('image', 'image', 'video', 'image', 'image', 'image', 'video', 'image')


@MODELS.register_module()
class WaywardModel(toys.ToyModel):
    """A toy that uses its temporal layer on one rank alone."""

    def forward(self, modality: list[str], **batch: object) -> dict:
        return super().forward(modality=['video'] if get_rank() else ['image'], **batch)


class Given(nn.Module):
    """Takes a batch as it is."""

    def forward(self, batch: object, training: bool) -> dict:
        return dict(batch=batch)


def toy_batch(step: int, task: str, rank: int) -> dict:
    points = torch.randn(4, 4, generator=torch.Generator().manual_seed(2 * step + rank))
    return dict(inputs=points, targets=points.sum(1), modality=[task], task=task, losses=None)


def toy_steps(wrap: Callable[[nn.Module], nn.Module], accumulate: int, compiled: bool = False) -> dict:
    """Alternate on the two ranks; returns weights and state of the optimizer."""
    torch.manual_seed(0)
    np.random.seed(0)
    model = toys.ToyModel()
    wrapped = wrap(model)
    if compiled:
        model.compile(backend='eager')
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.1, weight_decay=0.5)
    wrapper = PrecisionOptimWrapper(optimizer, accumulative_counts=accumulate, clip_grad=dict(max_norm=0.5))
    for step, task in enumerate(TASKS):
        before = model.temporal.weight.clone()
        wrapped.train_step(toy_batch(step, task, get_rank()), wrapper)
        assert (accumulate == 1 and task == 'image') <= torch.equal(before, model.temporal.weight)
    return dict(weights=model.state_dict(), optimizer=optimizer.state_dict())


def search(model: nn.Module) -> nn.Module:
    return wrap_distributed(model, MMDistributedDataParallel, dict(find_unused_parameters=True))


def reach(model: nn.Module) -> AlternatingDataParallel:
    wrapped = wrap_distributed(model, MMDistributedDataParallel, {})
    assert isinstance(wrapped, AlternatingDataParallel) and not wrapped.find_unused_parameters
    return wrapped


def view(model: nn.Module) -> nn.Module:
    return wrap_distributed(model, MMDistributedDataParallel, dict(gradient_as_bucket_view=True))


def pretraining_gradients(wrap: Callable, config: dict, batches: list) -> list[dict]:
    torch.manual_seed(0)
    model = MODELS.build(config)
    wrapped = wrap(model)
    found = []

    class Noted(PrecisionOptimWrapper):
        def step(self) -> None:
            found.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
            super().step()

    wrapper = Noted(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1))
    model.data_preprocessor = Given()
    for batch in batches:
        torch.manual_seed(get_rank())
        wrapped.train_step(batch, wrapper)
    return found


def on_ranks(config: dict, batches: list) -> None:
    init_process_group('pytorch')
    for accumulate in (1, 2):
        expected = toy_steps(search, accumulate)
        for wrap in (reach, view):
            assert_equal(toy_steps(wrap, accumulate), expected, wrap.__name__)
    assert_equal(toy_steps(reach, 1, compiled=True), toy_steps(search, 1, compiled=True), 'compiled')
    expected = pretraining_gradients(search, config, batches)
    assert {len(gradients) for gradients in expected[::2]} == {len(expected[0])} and len(expected[0]) < len(expected[1])
    assert_equal(pretraining_gradients(reach, config, batches), expected, 'pretraining')
    buckets_follow_parameters()


def buckets_follow_parameters() -> None:
    """Whatever the first step leaves out: else each later step would send what it computes last first."""
    wrapped = wrap_distributed(toys.ToyModel(), Noting, dict(bucket_cap_mb=1e-5))
    names = {id(parameter): name for name, parameter in wrapped.module.named_parameters()}
    optimizer = torch.optim.SGD(wrapped.trained, lr=0.1)
    for step, task in enumerate(('image', 'video')):
        wrapped.sent.clear()
        wrapped.train_step(toy_batch(step, task, get_rank()), PrecisionOptimWrapper(optimizer))
        assert [names[id(parameter)] for parameter in wrapped.sent] == [
            names[id(parameter)] for parameter in reversed(wrapped.trained)
        ]


class Noting(AlternatingDataParallel):
    """Notes what is sent, in its order."""

    def __init__(self, module: nn.Module, **options: object) -> None:
        self.sent: list[nn.Parameter] = []
        super().__init__(module, **options)

    def _average(
        self, group: torch_dist.ProcessGroup, bucket: torch_dist.GradBucket
    ) -> torch.futures.Future[torch.Tensor]:
        self.sent += bucket.parameters()
        return super()._average(group, bucket)


def test_steps_that_leave_parameters_out_equal_those_with_a_search(tiny_config, random_batch):
    """Bit for bit; compiled and with activation checkpointing, too."""
    config = tiny_config(trunk=dict(encoder=dict(activation_checkpointing=True)))
    batches = [random_batch(modality=modality) for modality in ('image', 'video', 'image')]
    run_ranks(on_ranks, config, batches, seconds=200)


def wayward(work_dir: Path) -> None:
    with pytest.raises(OmniVLRuntimeError, match=r'iteration 1 \(image\) left out other parameters on another rank'):
        train(work_dir, 'wayward', launcher='pytorch', model=dict(type='WaywardModel'))


def test_ranks_that_leave_out_different_parameters_are_refused(tmp_path):
    run_ranks(wayward, tmp_path)
