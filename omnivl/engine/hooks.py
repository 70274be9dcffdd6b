"""Hooks of training: time and ETA, what the log shows of each task, checkpoints that survive a kill, progress."""

import datetime
import math
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from rich.progress import BarColumn, TaskProgressColumn, TextColumn

from omnivl.errors import OmniVLFloatingPointError
from omnivl.registry import HOOKS
from omnivl.storage.checkpoint import write_last_checkpoint
from omnivl.storage.progress import terminal_bar

from .loops import AlternatingTrainLoop, tasks_of
from .optim import updates_done

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
    """Stops at losses that are no numbers and at too many broken files; logs the losses and the data by task."""

    priority = 'HIGH'  # before anything is saved or stepped

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop if a loss is not finite or a source has more broken files than it may; else log."""
        loop, hub = tasks_of(runner), runner.message_hub
        stream = loop.streams[loop.task]
        self._check_losses(loop, outputs)
        for key, value in outputs.items():
            if 'loss' in key:
                hub.update_scalar(f'train/{stream.name}/{key}', value)
        hub.update_scalar(f'train/{stream.name}/samples', stream.samples)
        if stream.epochs is not None:
            hub.update_scalar(f'train/{stream.name}/epochs', stream.epochs)
        for broken in stream.count_broken(data_batch):
            runner.logger.warning(f'broken file of {broken.source}: {broken.path} ({broken.reason})')
        if stream.broken:
            hub.update_scalar(f'train/{stream.name}/broken', stream.broken)

    def after_train(self, runner: Runner) -> None:
        """Say what was trained on."""
        for name, stream in tasks_of(runner).streams.items():
            speed = runner.message_hub.log_scalars.get(f'train/{name}/samples_per_second')
            pace = f', {speed.current():.1f} samples/s' if speed is not None else ''
            lost = f', broken: {stream.counter.summary()}' if stream.broken else ''
            passes = f', {stream.epochs:.2f} epochs' if stream.epochs is not None else ''
            runner.logger.info(
                f'{name}: {stream.samples} samples in {stream.batches_given} batches{passes}{pace}{lost}'
            )

    @staticmethod
    def _check_losses(loop: AlternatingTrainLoop, outputs: dict[str, float]) -> None:
        losses = {key: value for key, value in outputs.items() if 'loss' in key}
        if all(math.isfinite(value) for value in losses.values()):
            return
        listed = ', '.join(f'{key} = {value:.4g}' for key, value in losses.items())
        raise OmniVLFloatingPointError(
            f'iteration {loop.iter + 1} ({loop.task}): a loss is not finite ({listed}). The weights are damaged, '
            'the last checkpoint is not. Lower the learning rate, lengthen the warm-up, clip gradients '
            '(optim_wrapper.clip_grad), or use bf16 or fp32 instead of fp16'
        )


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook, made safe against a kill at any moment.

    - ``last_checkpoint`` is written whole, after the checkpoint; old checkpoints are removed after that, not before.
    - In the middle of a gradient accumulation nothing is saved, as gradients are not stored; the save waits for the
      next update.
    - The end of a run is saved wherever it falls, and so is the end of the update in which it is asked to stop; in a
      run whose checkpoints count epochs that one is named by its iteration, and stays.

    Args:
        interval: Iterations (epochs) between checkpoints; -1 = at the end only.
        by_epoch: Whether the interval counts epochs.
        max_keep_ckpts: How many are kept; -1 = all.
        save_best: Metrics whose best checkpoints (weights only) are kept, such as ``'image.retrieval.t2i_r1'``.
        rule: ``'greater'`` or ``'less'`` is better.
        **kwargs: Other arguments of ``mmengine.hooks.CheckpointHook``.
    """

    out_dir: str | None

    def __init__(
        self,
        interval: int = -1,
        by_epoch: bool = False,
        max_keep_ckpts: int = -1,
        save_best: str | list[str] | None = None,
        rule: str | list[str] = 'greater',
        **kwargs: Any,
    ) -> None:
        options = dict(kwargs, rule=None if save_best is None else rule)
        super().__init__(interval, by_epoch, max_keep_ckpts=max_keep_ckpts, save_best=save_best, **options)
        self.saved_iteration = -1
        self.waiting: int | None = None  # epoch or iteration in the name of the checkpoint that waits

    def before_train(self, runner: Runner) -> None:
        """Find out where to save, and what a resumed run has saved."""
        work_dir = Path(runner.work_dir)
        self.folder = work_dir if self.out_dir is None else Path(self.out_dir) / work_dir.name
        self.out_dir = str(self.folder)
        self.file_backend = get_file_backend(self.out_dir)
        info = runner.message_hub.runtime_info
        self.keep_ckpt_ids = list(info.get('keep_ckpt_ids', ()))
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = info.get('best_ckpt')
        elif self.save_best is not None:
            self.best_ckpt_path_dict = {key: info.get(f'best_ckpt_{key}') for key in self.key_indicators}
        # A run killed right after its last checkpoint has nothing new to save when it resumes.
        step = runner.epoch if self.by_epoch else runner.iter
        if runner.iter and (self.folder / self.filename_tmpl.format(step)).is_file():
            self.saved_iteration = runner.iter
        runner.logger.info(f'Checkpoints will be saved to {self.out_dir}')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save every ``interval`` iterations, and where a save waited for the end of an accumulation."""
        if self.waiting is not None and updates_done(runner.optim_wrapper):
            self._save_with_step(runner, self.waiting if self.by_epoch else batch_idx + 1, batch_idx + 1)
        else:
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if tasks_of(runner).leaving and updates_done(runner.optim_wrapper) and self.saved_iteration != batch_idx + 1:
            if self.by_epoch:
                self._write(runner, f'iter_{batch_idx + 1}.pth', batch_idx + 1)
            else:
                self._save_with_step(runner, batch_idx + 1, batch_idx + 1)

    def after_train(self, runner: Runner) -> None:
        """Save the end of the run, if that is not done."""
        if self.save_last and self.saved_iteration != runner.iter:
            self._save_with_step(runner, runner.epoch if self.by_epoch else runner.iter, runner.iter)
        super().after_train(runner)

    def _save_checkpoint(self, runner: Runner) -> None:
        if updates_done(runner.optim_wrapper):
            super()._save_checkpoint(runner)
        else:
            self.waiting = (runner.epoch if self.by_epoch else runner.iter) + 1

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        self._save_with_step(runner, step, tasks_of(runner).state_dict()['iteration'])

    def _save_with_step(self, runner: Runner, step: int, iteration: int) -> None:
        removed: list[int] = []
        if self.max_keep_ckpts > 0:
            kept = [kept for kept in self.keep_ckpt_ids if kept != step] + [step]
            removed, self.keep_ckpt_ids = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self._write(runner, self.filename_tmpl.format(step), iteration)
        if is_main_process():
            for old in removed:
                (self.folder / self.filename_tmpl.format(old)).unlink(missing_ok=True)

    def _write(self, runner: Runner, name: str, iteration: int) -> None:
        self.last_ckpt = str(self.folder / name)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=dict(epoch=runner.epoch, iter=iteration),
        )
        self.saved_iteration, self.waiting = iteration, None
        if is_main_process():
            write_last_checkpoint(runner.work_dir, self.last_ckpt)


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
