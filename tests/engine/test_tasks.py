"""Named tasks: on one modality or several, each with its own batches and losses; also such as have no length."""

import pytest
import toys
from mmengine.hooks import Hook
from runs import assert_same_run, train

from omnivl.engine import ConfigError, check_config
from omnivl.registry import HOOKS

LOOP = 'AlternatingTrainLoop'
TASKS = dict(
    large=dict(toys.loader('image', size=13), losses=('fit',)),
    small=dict(toys.loader('image', size=9), batch_size=2, losses=('twin', 'fit')),
    free=toys.loader('video', size=9),
)
ENDLESS = dict(shards=dict(type='ToyStream', batch_size=3, losses=('fit',)), image=toys.loader('image', size=13))


@HOOKS.register_module(force=True)
class StepsHook(Hook):
    """Writes down task, batch size and losses of each step."""

    def __init__(self) -> None:
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        losses = {key.removeprefix('loss_') for key in outputs if key.startswith('loss_')}
        self.steps.append((data_batch['task'], len(data_batch['inputs']), losses, data_batch['losses']))


def test_tasks_on_one_modality_alternate_with_their_own_batches_and_losses(make_runner):
    runner, hook = make_runner(train_dataloader=TASKS, train_cfg=dict(type=LOOP, max_iters=9)), StepsHook()
    runner.register_hook(hook)
    runner.train()
    names = [runner.train_loop.schedule.name_at(step) for step in range(9)]
    assert [step[0] for step in hook.steps] == names and set(names) == set(TASKS)
    expected = dict(
        large=(4, {'fit'}, ('fit',)), small=(2, {'fit', 'twin'}, ('twin', 'fit')), free=(4, {'fit', 'twin'}, None)
    )
    assert all(step[1:] == expected[step[0]] for step in hook.steps)
    scalars = runner.message_hub.log_scalars
    assert 'train/small/loss_twin' in scalars and 'train/large/loss_fit' in scalars
    assert 'train/large/loss_twin' not in scalars
    assert runner.train_loop.streams['small'].samples == 2 * names.count('small')


@pytest.mark.parametrize('tasks', [TASKS, ENDLESS])
def test_a_resumed_run_of_tasks_is_the_unbroken_run(tmp_path, tasks):
    options = dict(train_dataloader=tasks, train_cfg=dict(type=LOOP, max_iters=10))
    name = '-'.join(tasks)
    train(tmp_path / 'whole', f'{name}-whole', **options)
    train(tmp_path / 'parts', f'{name}-first', stop=dict(after=4), **options)
    train(tmp_path / 'parts', f'{name}-second', resume=True, **options)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)


@pytest.mark.parametrize(
    ('losses', 'message'),
    [
        (('fit', 'cope'), r"train_dataloader\.large\.losses names 'cope'; ToyModel has fit, twin"),
        ('fit', r"train_dataloader\.large\.losses is 'fit'; give a list of names"),
        ((), r'train_dataloader\.large\.losses is \(\); give a list of names'),
    ],
)
def test_losses_that_the_model_does_not_have(make_runner, losses, message):
    tasks = dict(TASKS, large=dict(TASKS['large'], losses=losses))
    with pytest.raises(ValueError, match=message):
        make_runner(train_dataloader=tasks).train()


def test_a_stream_without_a_length_has_no_epochs(make_runner):
    runner = make_runner(train_dataloader=ENDLESS, train_cfg=dict(type=LOOP, max_iters=6))
    runner.train()
    assert runner.iter == 6 and runner.epoch == 0
    assert runner.train_loop.streams['shards'].samples == 9
    assert 'train/shards/epochs' not in runner.message_hub.log_scalars
    for option in (dict(max_epochs=1), dict(max_iters=6, proportions='size')):
        with pytest.raises(ValueError, match="counts epochs of 'shards', which is a stream without a length"):
            make_runner('other', train_dataloader=ENDLESS, train_cfg=dict(type=LOOP, **option)).train()


def test_keys_of_tasks_are_known_and_slips_are_found(tmp_path):
    from mmengine.config import Config

    check_config(Config(toys.toy_config(tmp_path, 'good', train_dataloader=dict(TASKS, **ENDLESS))))
    with pytest.raises(ConfigError, match=r"image\.loses: a loader has no 'loses', did you mean 'losses'"):
        image = dict(toys.loader('image'), loses=('fit',))
        check_config(Config(toys.toy_config(tmp_path, 'bad', train_dataloader=dict(image=image))))
    with pytest.raises(ConfigError, match=r"shards\.batchsize: ToyStream has no 'batchsize'"):
        shards = dict(type='ToyStream', batchsize=3)
        check_config(Config(toys.toy_config(tmp_path, 'worse', train_dataloader=dict(shards=shards))))
