"""What the hooks write down, and when they stop a run."""

import io
import sys
from pathlib import Path

import pytest
from mmengine.structures import BaseDataElement
from runs import logged, train

from omnivl.datasets import BrokenVisual
from omnivl.engine import StepTimerHook, TrainingMonitorHook


def test_losses_and_data_are_logged_by_modality(tmp_path):
    runner = train(tmp_path / 'run', 'monitor')
    hub, loop = runner.message_hub, runner.train_loop
    names = [loop.schedule.name_at(step) for step in range(10)]
    mixed = hub.get_scalar('train/loss_fit').data[0].tolist()
    for name in ('image', 'video'):
        own = hub.get_scalar(f'train/{name}/loss_fit').data[0].tolist()
        assert own == [value for value, modality in zip(mixed, names) if modality == name]
        assert hub.get_scalar(f'train/{name}/samples').current() == 4 * names.count(name)
        assert hub.get_scalar(f'train/{name}/samples_per_second').current() > 0
    assert hub.get_scalar('train/image/epochs').current() == pytest.approx(names.count('image') / 3)
    curves = logged(tmp_path / 'run')[10]
    assert {'lr', 'loss', 'video/loss_fit', 'image/loss_twin', 'grad_norm', 'temperature'} <= set(curves)


def test_the_log_says_it_in_order(tmp_path):
    runner = train(tmp_path / 'run', 'log', log_level='INFO')
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert 'Iter(train) [10/10]  lr: ' in log and 'image: loss ' in log and 'grad_norm: ' in log
    assert 'image: 28 samples in 7 batches, 2.33 epochs' in log


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(
        FloatingPointError, match=r'iteration 4 \((image|video)\): a loss is not finite \(.*loss_fit = nan'
    ):
        train(tmp_path / 'run', 'nan', model=dict(type='ToyModel', spoil_at=4))
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']


class FakeLoop:
    """Image steps of 1 s and video steps of 3 s, 10 of each."""

    max_iters = 20

    class schedule:
        @staticmethod
        def counts_before(step):
            return dict(image=min(step, 10), video=max(0, step - 10))

    def __init__(self) -> None:
        self.iter = 4


def test_the_time_to_go_counts_what_is_left_of_each_modality():
    timer = StepTimerHook()
    timer.times['image'].append(1.0)
    assert timer._remaining(FakeLoop()) == 5 * 1.0 + 10 * 1.0  # no video step was seen yet
    timer.times['video'].append(3.0)
    assert timer._remaining(FakeLoop()) == 5 * 1.0 + 10 * 3.0


def test_at_the_end_nothing_is_left(tmp_path):
    runner = train(tmp_path / 'run', 'eta')
    assert runner.message_hub.get_info('eta') == 0


def test_checkpoints_are_kept_as_asked(tmp_path):
    train(tmp_path / 'run', 'keep', default_hooks=dict(checkpoint=dict(interval=4, max_keep_ckpts=2)))
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['iter_10.pth', 'iter_8.pth']
    assert (tmp_path / 'run/last_checkpoint').read_text() == str(tmp_path / 'run/iter_10.pth')


def test_checkpoints_by_epoch_and_the_end(tmp_path):
    hooks = dict(checkpoint=dict(interval=1, by_epoch=True))
    train(tmp_path / 'run', 'by-epoch', default_hooks=hooks)
    # 10 iterations have 7 image batches, 3 an epoch: two whole epochs, then an end in the middle of the third.
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['epoch_1.pth', 'epoch_2.pth']
    assert train(tmp_path / 'run', 'by-epoch-2', default_hooks=hooks, resume=True).iter == 10


def test_a_hook_is_removed_by_none(make_runner):
    runner = make_runner(default_hooks=dict(progress=None, checkpoint=None))
    kinds = {type(hook).__name__ for hook in runner.hooks}
    assert not kinds & {'ProgressLineHook', 'WholeCheckpointHook'} and 'StepTimerHook' in kinds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_and_only_there(tmp_path, monkeypatch, capsys):
    train(tmp_path / 'quiet', 'quiet')
    assert 'iteration' not in capsys.readouterr().err
    terminal = Terminal()
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('NO_COLOR', '1')
    monkeypatch.setattr(sys, 'stderr', terminal)
    train(tmp_path / 'loud', 'loud')
    lines = [line for line in terminal.getvalue().splitlines() if ' iteration ' in line]
    for number in range(10):
        assert any(f' {number * 10}% iteration {number}/10, epoch ' in line for line in lines), lines
    assert ' left' in lines[-1]


def test_broken_files_are_counted_logged_and_stop_the_run(make_runner):
    runner = make_runner()
    stream = runner.train_loop.streams['image']
    stream.counter.max_shares['web'] = 0.01
    fine = BaseDataElement(metainfo=dict(source='web'))
    broken = BaseDataElement(metainfo=dict(source='web', broken=[BrokenVisual('web', 'a.jpg', 'cut off')]))
    for samples in ([fine, broken], [broken]):
        batches = [dict(data_samples=samples)]
        found = stream.count_broken(batches, stream.counts_of(batches))
        assert found == [(0, BrokenVisual('web', 'a.jpg', 'cut off'))]
    with pytest.raises(RuntimeError, match=r"'web': 2 broken or missing files among 3 samples.*a\.jpg \(cut off\)"):
        stream.counter.check()
    state = stream.state_dict()
    other = make_runner('other').train_loop.streams['image']
    other.load_state_dict(state)
    assert other.broken == 2 and other.counter.seen['web'] == 3


def test_unknown_words_are_told_once_and_their_share_is_logged(make_runner):
    runner, hook = make_runner(), TrainingMonitorHook()
    told = []
    runner.logger.warning = told.append
    known, unknown = dict(), dict(unknown_words=dict(share=25.0, words=dict(coco=['zebra', 'zebra', 'gnu'])))
    for batch in (known, unknown, unknown, known):
        hook._tell_unknown(runner, 'image', batch)
    values, _ = runner.message_hub.log_scalars['train/image/unknown_words'].data
    assert values.tolist() == [25.0, 25.0, 0.0]
    assert len(told) == 1 and "does not know words of coco: 'zebra', 'gnu'; they become [UNK]" in told[0]
