"""Batches whose gradients make one update: as one large batch, but for what each is compared with."""

from dataclasses import fields, replace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import Tensor, nn
from toys import loader

from omnivl.registry import MODELS
from omnivl.structures import VLBatch

SCHEDULE = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=4)]


@MODELS.register_module(force=True)
class MeanModel(BaseModel):
    """A loss that is a mean over samples."""

    loss_names = ('fit',)
    parts = {}

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 1)

    def forward(self, inputs: Tensor, targets: Tensor, mode: str = 'loss', **rest: object) -> dict[str, Tensor]:
        """Fit the targets."""
        return dict(loss_fit=(self.head(inputs)[:, 0] - targets).square().mean())

    def loss(self, batch: None) -> None:
        """Make it a model that can be trained; forward does."""


class TaskDiary(Hook):
    """Writes down the tasks of the batches of each update."""

    def __init__(self) -> None:
        self.tasks: list[set[str]] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.tasks.append({name for batch in runner.train_loop.batches for name in batch['modality']})


def updates(make_runner, batch_size: int, accumulate: int, **loop):
    optimizer = dict(type='AdamW', lr=0.05)
    runner = make_runner(
        f'of-{accumulate}',
        model=dict(type='MeanModel'),
        train_dataloader={
            name: dict(loader(name, size=16), batch_size=batch_size, num_workers=0) for name in ('image', 'video')
        },
        train_cfg=dict(type='AlternatingTrainLoop', **loop),
        param_scheduler=SCHEDULE,
        optim_wrapper=dict(constructor='DecayGroupsConstructor', optimizer=optimizer, accumulative_counts=accumulate),
    )
    diary = TaskDiary()
    runner.register_hook(diary)
    runner.train()
    return runner, diary


@pytest.mark.parametrize('loop', [dict(max_iters=6), dict(max_epochs=2)])
def test_an_update_of_parts_is_that_of_the_whole(make_runner, loop):
    """Data, tasks, schedules, epochs, and the weights that come of them."""
    (whole, tasks), (parts, parts_tasks) = updates(make_runner, 8, 1, **loop), updates(make_runner, 2, 4, **loop)
    assert tasks.tasks == parts_tasks.tasks and {len(names) for names in tasks.tasks} == {1}
    assert {name for names in tasks.tasks for name in names} == {'image', 'video'}
    assert (whole.iter, whole.epoch) == (parts.iter, parts.epoch)
    for name in ('train/lr', 'train/loss'):
        found, expected = (runner.message_hub.get_scalar(name).data[0] for runner in (parts, whole))
        assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    for name, stream in whole.train_loop.streams.items():
        assert parts.train_loop.streams[name].samples == stream.samples
    for found, expected in zip(parts.model.parameters(), whole.model.parameters()):
        torch.testing.assert_close(found, expected)


def test_an_update_may_be_longer_than_an_epoch(make_runner):
    runner, _ = updates(make_runner, 8, 5, max_iters=4)
    assert runner.epoch == runner.train_loop.streams['image'].epochs_completed == 5


def rows(batch: VLBatch, places: slice, part: int) -> VLBatch:
    """Some samples of a batch."""
    cut = {field.name: getattr(batch, field.name)[places] for field in fields(batch) if field.name in PER_SAMPLE}
    return replace(batch, inputs={name: value[places] for name, value in batch.inputs.items()}, part=part, **cut)


PER_SAMPLE = ('text_ids', 'text_mask', 'target_ids')


@pytest.mark.parametrize('use_labels', [True, False])
def test_momentum_encoder_and_queues_move_once_for_all_parts(tiny_model, random_batch, use_labels):
    """And the language loss, whose batches have as many words, has the gradient of the whole."""
    batch, found = random_batch(size=8), []
    for count in (1, 2):
        model = tiny_model(shake=True, use_labels=use_labels, momentum=0.9).train()
        size = 8 // count
        for part in range(count):
            losses = model.loss(rows(batch, slice(part * size, (part + 1) * size), part))
            (losses['loss_lm'] / count).backward()
        found.append(model)
    whole, parts = found
    assert int(parts.momentum_encoder.num_updates) == int(whole.momentum_encoder.num_updates) == 1
    for one, other in zip(parts.momentum_encoder.parameters(), whole.momentum_encoder.parameters()):
        assert torch.equal(one, other)
    for name in ('visual', 'text', 'fill', 'cursor'):
        torch.testing.assert_close(getattr(parts.queues, name), getattr(whole.queues, name))
    assert len(set(parts.queues.target_ids[:8].tolist())) == 8  # without labels, each sample is its own positive
    for one, other in zip(parts.parameters(), whole.parameters()):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-4)
