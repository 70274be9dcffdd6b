"""Hooks of training: time and ETA, what the log shows of each task, progress."""

import datetime
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.progress import BarColumn, TaskProgressColumn, TextColumn

from omnivl.registry import HOOKS
from omnivl.storage.progress import terminal_bar

from .loops import AlternatingTrainLoop, tasks_of
from .not_finite import FiniteWatch

WINDOW = 20  # iterations of a task that its speed is averaged over


@HOOKS.register_module()
class StepTimerHook(Hook):
    """Measures each step, the wait for its data, and the time to go.

    The time of a step includes its wait for data, but neither validation nor checkpoints; the ETA includes those, too.
    Steps of different tasks differ in cost, so the ETA counts what is left of each.
    """

    priority = 'NORMAL'

    def __init__(self) -> None:
        self.times: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))
        self.samples: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=WINDOW))
        self.seconds = 0.0
        self.started = 0.0

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Start the clock of the step."""
        self.begin = time.perf_counter()
        loop = tasks_of(runner)
        self.samples_before = loop.streams[loop.task].samples

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write down the times."""
        loop, hub = tasks_of(runner), runner.message_hub
        now = time.perf_counter()
        step = now - self.begin + loop.waited
        name = loop.task
        self.seconds += step
        self.times[name].append(step)
        self.samples[name].append(loop.streams[name].samples - self.samples_before)
        hub.update_scalar('train/time', step)
        hub.update_scalar('train/data_time', loop.waited)
        hub.update_scalar(
            f'train/{name}/samples_per_second', sum(self.samples[name]) / max(sum(self.times[name]), 1e-9)
        )
        hub.update_info('eta', self._remaining(loop) * (now - self.started) / self.seconds)

    def _remaining(self, loop: AlternatingTrainLoop) -> float:
        done, total = loop.schedule.counts_before(loop.iter + 1), loop.schedule.counts_before(loop.max_iters)
        measured = [duration for times in self.times.values() for duration in times]
        average = sum(measured) / len(measured)
        seconds = 0.0
        for name, count in total.items():
            times = self.times.get(name)
            seconds += (count - done.get(name, 0)) * (sum(times) / len(times) if times else average)
        return seconds


@HOOKS.register_module()
class TrainingMonitorHook(Hook):
    """Tells of numbers that are not finite and of broken files, or stops; logs the losses and the data by task."""

    priority = 'HIGH'  # before anything is saved or stepped

    def __init__(self) -> None:
        self.finite = FiniteWatch()
        self.told: set[str] = set()  # sources with words that the vocabulary does not know

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop if a number is not finite (see ``FiniteWatch``) or a source has more broken files than it may; log."""
        loop, hub = tasks_of(runner), runner.message_hub
        stream = loop.streams[loop.task]
        self.finite.look(runner)
        for key, value in outputs.items():
            if 'loss' in key:
                hub.update_scalar(f'train/{stream.name}/{key}', value)
        hub.update_scalar(f'train/{stream.name}/samples', stream.samples)
        if stream.epochs is not None:
            hub.update_scalar(f'train/{stream.name}/epochs', stream.epochs)
        for rank, broken in stream.count_broken(loop.batches, loop.counts):
            place = f' (rank {rank})' if runner.world_size > 1 else ''
            runner.logger.warning(f'broken file of {broken.source}{place}: {broken.path} ({broken.reason})')
        if stream.broken:
            hub.update_scalar(f'train/{stream.name}/broken', stream.broken)
        stream.counter.check()
        for batch in loop.batches:
            self._tell_unknown(runner, stream.name, batch)

    def _tell_unknown(self, runner: Runner, task: str, batch: Mapping[str, Any]) -> None:
        """Log the share of [UNK], in percent, once there is any, and the first words of each source; of this rank."""
        hub, key = runner.message_hub, f'train/{task}/unknown_words'
        found = batch.get('unknown_words', dict(share=0.0, words={}))
        if found['words'] or key in hub.log_scalars:
            hub.update_scalar(key, found['share'])
        for source in found['words'].keys() - self.told:
            self.told.add(source)
            words = ', '.join(map(repr, list(dict.fromkeys(found['words'][source]))[:10]))
            runner.logger.warning(
                f'the vocabulary does not know words of {source}: {words}; they become [UNK] ({key} is their share in '
                'percent). Make one of these texts with omnivl vocabulary, or take the one the weights have'
            )

    def after_train(self, runner: Runner) -> None:
        """Say what was trained on, and how many updates were left out."""
        self.finite.sum_up(runner)
        for name, stream in tasks_of(runner).streams.items():
            speed = runner.message_hub.log_scalars.get(f'train/{name}/samples_per_second')
            pace = f', {speed.current():.1f} samples/s' if speed is not None else ''
            lost = f', broken: {stream.counter.summary()}' if stream.broken else ''
            passes = f', {stream.epochs:.2f} epochs' if stream.epochs is not None else ''
            runner.logger.info(
                f'{name}: {stream.samples} samples in {stream.batches_given} batches{passes}{pace}{lost}'
            )


@HOOKS.register_module()
class ProgressLineHook(Hook):
    """One line at the bottom of a terminal that says how far the training is; nothing where there is no terminal."""

    priority = 55  # after the timer, before the logger, so that the line makes room for the log's

    def __init__(self) -> None:
        self.bar = terminal_bar(BarColumn(), TaskProgressColumn(), TextColumn('{task.description}'))
        self.task = self.bar.add_task('')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Draw the line, which stays while the step runs."""
        if not self.bar.disable:
            loop = tasks_of(runner)
            self.bar.update(self.task, completed=loop.iter, total=loop.max_iters, description=self._line(runner))
            self.bar.start()
            self.bar.console.show_cursor(True)  # an error in the step must not leave the terminal without one

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Clear the line."""
        if not self.bar.disable:
            self.bar.stop()

    @staticmethod
    def _line(runner: Runner) -> str:
        """Say which iteration, epoch and task it is, and how long the run will take."""
        loop = tasks_of(runner)
        eta = runner.message_hub.get_info('eta')
        left = '' if eta is None else f', {datetime.timedelta(seconds=int(eta))} left'
        return f'iteration {loop.iter}/{loop.max_iters}, epoch {loop.epoch + 1}, {loop.task}{left}'
