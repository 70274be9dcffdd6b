"""The train loop: who comes when, epochs, validation, and what it says of bad configs."""

from types import SimpleNamespace

import pytest
import toys
from mmengine.hooks import Hook
from mmengine.runner import Runner
from runs import run_ranks, train

from omnivl.datasets.loaders import build_loaders
from omnivl.registry import HOOKS
from omnivl.storage import load_checkpoint

LOOP = 'AlternatingTrainLoop'


@HOOKS.register_module(force=True)
class DiaryHook(Hook):
    """Writes down what happens."""

    def __init__(self, diary: list) -> None:
        self.diary = diary

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.diary.append(data_batch['modality'][0])
        assert set(data_batch['modality']) == {runner.train_loop.task}

    def after_train_epoch(self, runner):
        self.diary.append(f'epoch {runner.epoch}')

    def before_val(self, runner):
        self.diary.append('val')


def diary_of(make_runner, loop, **changes):
    runner, diary = make_runner(train_cfg=dict(type=LOOP, **loop), **changes), []
    runner.register_hook(DiaryHook(diary))
    runner.train()
    return runner, diary


def test_batches_follow_the_schedule_and_epochs_one_loader(make_runner):
    runner, diary = diary_of(make_runner, dict(max_epochs=2, epoch_by='video', proportions=dict(image=2, video=1)))
    # An epoch of videos has 2 batches; every epoch ends right after its last one.
    assert [entry for entry in diary if entry != 'image'] == ['video', 'video', 'epoch 0', 'video', 'video', 'epoch 1']
    names = [entry for entry in diary if entry in ('image', 'video')]
    assert names == [runner.train_loop.schedule.name_at(step) for step in range(runner.max_iters)]
    assert runner.epoch == runner.max_epochs == 2 and len(names) == runner.iter == runner.max_iters
    assert runner.train_loop.streams['image'].samples == 4 * names.count('image')


def test_schedulers_by_epoch_step_at_the_end_of_epochs(make_runner):
    decay = [dict(type='ExponentialLR', gamma=0.85, by_epoch=True)]
    loop = dict(type=LOOP, max_epochs=3, epoch_by='video', proportions=dict(video=1))
    runner = make_runner(train_cfg=loop, param_scheduler=decay)
    runner.train()
    expected = [0.05 * 0.85**epoch for epoch in (0, 0, 1, 1, 2, 2)]
    assert runner.message_hub.get_scalar('train/lr').data[0].tolist() == pytest.approx(expected)


def test_loaders_end_their_epochs_together_by_size(make_runner):
    runner, _ = diary_of(make_runner, dict(max_epochs=2, proportions='size'))
    assert {stream.epochs for stream in runner.train_loop.streams.values()} == {2.0}


def test_phases_are_image_then_video(make_runner):
    phases = [dict(iters=3, proportions=dict(image=1)), dict(iters=2, proportions=dict(video=1))]
    runner, diary = diary_of(make_runner, dict(phases=phases))
    assert [entry for entry in diary if ' ' not in entry] == ['image'] * 3 + ['video'] * 2 and runner.max_iters == 5


def test_samples_of_an_epoch_are_all_different(tmp_path):
    journal = tmp_path / 'journal'
    loaders = dict(image=toys.loader('image', size=16, journal=str(journal)))
    train(tmp_path / 'run', 'epochs', train_dataloader=loaders, train_cfg=dict(type=LOOP, max_epochs=2))
    lines = [line.split() for line in journal.read_text().splitlines()]
    for epoch in '01':
        assert sorted(int(index) for _, number, index in lines if number == epoch) == list(range(16))


VALIDATION = dict(
    val_dataloader=dict(image=toys.loader('image', size=4)),
    val_evaluator=dict(image=dict(type='ToyEvaluation')),
    val_cfg=dict(type='EvaluationLoop'),
)


@pytest.mark.parametrize(
    ('loop', 'expected'),
    [
        (dict(max_iters=5), [5]),
        (dict(max_iters=5, val_interval=2), [2, 4, 5]),
        (dict(max_iters=6, val_interval=2, val_begin=3), [4, 6]),
        (dict(max_epochs=2, proportions=dict(image=1)), [6]),
        (dict(max_epochs=2, proportions=dict(image=1), val_interval=1), [3, 6]),
    ],
)
def test_validation_comes_by_interval_and_at_the_end(make_runner, loop, expected):
    _, diary = diary_of(make_runner, loop, **VALIDATION)
    batches = [entry for entry in diary if 'epoch' not in entry]
    assert [i - batches[:i].count('val') for i, entry in enumerate(batches) if entry == 'val'] == expected


def test_a_pending_end_of_epoch_and_validation_are_made_up_for(tmp_path, make_runner):
    """Killed right after the checkpoint of the last iteration of an epoch, the run still owes its end."""
    loop = dict(max_epochs=3, proportions=dict(image=1), val_interval=1)
    train(tmp_path / 'run', 'owes', stop=dict(after=3), train_cfg=dict(type=LOOP, **loop), **VALIDATION)
    place = load_checkpoint(tmp_path / 'run/iter_3.pth')['train_loop']
    assert place['stage'] == 'iteration' and place['epoch'] == 0
    runner, diary = diary_of(make_runner, loop, resume=True, **VALIDATION)
    assert diary[:3] == ['epoch 0', 'val', 'image'] and runner.epoch == 3


def rank_samples(root):
    options = dict(launcher='pytorch', train_cfg=dict(type=LOOP, max_iters=3, proportions=dict(image=1)))
    loaders = dict(train_dataloader=dict(image=toys.loader('image', size=8), video=toys.loader('video', size=8)))
    runner = train(root, 'ranks', **loaders, **options)
    (root / f'losses_{runner.rank}').write_text(str(runner.message_hub.get_scalar('train/loss').data[0].tolist()))
    weights = [parameter.flatten().tolist() for parameter in runner.model.parameters()]
    (root / f'weights_{runner.rank}').write_text(str(weights))
    (root / f'samples_{runner.rank}').write_text(str(runner.train_loop.streams['image'].samples))


def test_two_processes_share_weights_and_log_the_whole_batch(tmp_path):
    """The temporal layer gets no gradient in image steps; DDP must not wait for it."""
    run_ranks(rank_samples, tmp_path)
    for kind in ('losses', 'weights', 'samples'):
        assert (tmp_path / f'{kind}_0').read_text() == (tmp_path / f'{kind}_1').read_text()
    assert (tmp_path / 'samples_0').read_text() == '24'


@pytest.mark.parametrize(
    ('loop', 'message'),
    [
        (dict(), 'exactly one of max_iters, max_epochs and phases'),
        (dict(max_iters=1, max_epochs=1), 'exactly one of max_iters, max_epochs and phases'),
        (dict(max_iters=1, epoch_by='text'), r"epoch_by names 'text'; train_dataloader has \['image', 'video'\]"),
        (dict(max_iters=1, proportions=dict(images=1)), r"proportions names 'images'"),
        (dict(max_iters=1, proportions='even'), r"proportions is 'even'; allowed: 'size'"),
        (dict(max_iters=1, proportions=dict(image=-1)), 'proportions.image is -1'),
        (dict(max_iters=1, proportions=dict(image=0)), 'one share must be above 0'),
        (dict(phases=[dict(steps=1)]), r'each phase is dict\(iters=..., proportions=...\)'),
        (dict(phases=[dict(iters=1)], proportions=dict(image=1)), 'give the proportions inside each phase'),
    ],
)
def test_bad_options_of_the_loop(make_runner, loop, message):
    with pytest.raises(ValueError, match=message):
        make_runner(train_cfg=dict(type=LOOP, **loop)).train()


@pytest.mark.parametrize(
    ('loaders', 'message'),
    [
        (toys.loader('image'), 'train_dataloader must name its loaders'),
        (dict(), 'train_dataloader must name its loaders'),
        (
            dict(image=dict(toys.loader('image'), sampler=dict(type='DefaultSampler'))),
            'the sampler of train_dataloader.image is a DefaultSampler, which cannot start in the middle',
        ),
    ],
)
def test_bad_loaders(make_runner, loaders, message):
    with pytest.raises(ValueError, match=message):
        make_runner(train_dataloader=loaders).train()


def test_a_changed_batch_size_goes_on_at_the_same_share(tmp_path, make_runner):
    loaders = dict(image=toys.loader('image', size=40))
    options = dict(train_cfg=dict(type=LOOP, max_iters=6))
    train(tmp_path / 'run', 'batch', stop=dict(after=4), train_dataloader=loaders, **options)
    halved = dict(image=dict(loaders['image'], batch_size=2))
    runner = make_runner(train_dataloader=halved, resume=True, **options)
    runner.train()
    assert runner.train_loop.streams['image'].batches_done == 4 * 2 + 2


def test_skipping_broken_files_is_refused_where_several_processes_train(make_runner, monkeypatch):
    monkeypatch.setattr(toys.ToyDataset, 'broken', 'skip', raising=False)
    monkeypatch.setattr(toys.ToyDataset, 'name', 'toy', raising=False)
    make_runner().build_train_loop(dict(type=LOOP, max_iters=1))
    monkeypatch.setattr('omnivl.datasets.loaders.get_world_size', lambda: 2)
    with pytest.raises(ValueError, match=r"dataset 'toy' has broken='skip'.*set broken='replace'"):
        make_runner().build_train_loop(dict(type=LOOP, max_iters=1))


def test_the_seed_of_the_run_is_that_of_the_draws_where_the_config_gives_none(monkeypatch):
    reader = dict(type='BLIPCaptionJSON', ann_file='a.json', visual_root='.')
    pairs = dict(type='PairDataset', name='a', annotations=reader, pipeline=[])
    datasets = [pairs, dict(pairs, name='b', seed=3), dict(type='ToyDataset', modality='image')]
    configs = dict(image=dict(batch_size=4, dataset=dict(type='MixedDataset', datasets=datasets)))

    def build(config, seed):
        return SimpleNamespace(dataset=config['dataset'], num_workers=0)

    monkeypatch.setattr(Runner, 'build_dataloader', staticmethod(build))
    for training, expected in ((True, [7, 3, None]), (False, [None, 3, None])):
        (built,) = build_loaders(configs, 'train_dataloader', 7, training).values()
        assert [dataset.get('seed') for dataset in built.dataset['datasets']] == expected
    assert 'seed' not in pairs
