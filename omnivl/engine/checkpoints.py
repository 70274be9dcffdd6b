"""The hook that saves checkpoints: safe against a kill at any moment, and found again by the run that wrote them."""

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from omnivl.registry import HOOKS
from omnivl.storage.checkpoint import write_last_checkpoint

from .loops import tasks_of
from .optim import updates_done


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook, made safe against a kill at any moment.

    - ``last_checkpoint`` is written whole, after the checkpoint; old checkpoints are removed after that, not before.
    - In the middle of a gradient accumulation nothing is saved, as gradients are not stored; the save waits for the
      next update.
    - The end of a run is saved wherever it falls.

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
        name = self.filename_tmpl.format(step)
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
            for old in removed:
                (self.folder / self.filename_tmpl.format(old)).unlink(missing_ok=True)
