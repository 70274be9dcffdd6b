"""The hook that saves checkpoints: safe against a kill at any moment, and found again by the run that wrote them."""

import time
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from omnivl.registry import HOOKS
from omnivl.storage.checkpoint import LAST_CHECKPOINT, SHARDS, find_checkpoints, number_in, write_last_checkpoint
from omnivl.storage.sharded import remove_checkpoint

from .loops import tasks_of


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook, made safe against a kill at any moment.

    - ``last_checkpoint`` is written whole, after the checkpoint; old checkpoints are removed after that, not before.
    - A better ``best_*`` is written before anything names it; the one before it goes once a checkpoint names the new.
    - What lies in the folder of checkpoints that this run does not come from (an earlier run, the part of it after the
      checkpoint that is resumed) is moved aside, where no later resume finds it; nothing of it is deleted.
    - The end of a run is saved wherever it falls, and so is the end of the update in which it is asked to stop; in a
      run whose checkpoints count epochs that one is named by its iteration, and stays.

    Args:
        interval: Iterations (epochs) between checkpoints; -1 = at the end only.
        by_epoch: Whether the interval counts epochs.
        max_keep_ckpts: How many are kept; -1 = all.
        save_best: Metrics whose best checkpoints (weights only) are kept, such as ``'image.retrieval.t2i_r1'``.
        rule: ``'greater'`` or ``'less'`` is better.
        sharded: Whether checkpoints are folders (``iter_20.shards``) into which each rank writes what it has, rather
            than files that the first rank writes. The best ones are files.
        asynchronous: Whether they are written beside the training, from copies in the memory of the host; the next one
            and the end of the run wait for the one before. ``last_checkpoint`` names what is whole.
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
        sharded: bool = False,
        asynchronous: bool = False,
        **kwargs: Any,
    ) -> None:
        options = dict(kwargs, rule=None if save_best is None else rule)
        self.suffix = SHARDS if sharded else '.pth'
        if sharded:
            options.setdefault('filename_tmpl', ('epoch_{}' if by_epoch else 'iter_{}') + SHARDS)
        self.asynchronous = asynchronous
        super().__init__(interval, by_epoch, max_keep_ckpts=max_keep_ckpts, save_best=save_best, **options)
        self.saved_iteration = -1

    def before_train(self, runner: Runner) -> None:
        """Find out where to save, and what a resumed run has saved."""
        runner.writer.in_thread = self.asynchronous
        work_dir = Path(runner.work_dir)
        self.folder = work_dir if self.out_dir is None else Path(self.out_dir) / work_dir.name
        self.out_dir = str(self.folder)
        self.file_backend = get_file_backend(self.out_dir)
        info = runner.message_hub.runtime_info
        self.keep_ckpt_ids = list(info.get('keep_ckpt_ids', ()))
        self.superseded: list[Path] = []
        # The folder may be a copy, whose original is not to be touched.
        best = {key: self.folder / Path(info[name]).name for key, name in self._best_names().items() if info.get(name)}
        for key, path in best.items():
            self._note_best(runner, key, path)
        resumed = Path(str(getattr(runner, 'loaded_from', None))) if runner.iter else None
        if resumed is not None and resumed.parent.resolve() == self.folder.resolve():
            self.saved_iteration = runner.iter  # a run killed right after its last checkpoint has nothing new to save
        if is_main_process():
            for folder in dict.fromkeys((self.folder, work_dir)):
                set_aside(runner, folder, resumed, {path.name for path in best.values()})
        runner.logger.info(f'Checkpoints will be saved to {self.out_dir}')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save every ``interval`` iterations, and before the run leaves."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if tasks_of(runner).leaving and self.saved_iteration != batch_idx + 1:
            self._save_to_leave(runner, batch_idx + 1)

    def before_leave(self, runner: Runner) -> None:
        """Save before the run ends at a validation, anew where its iteration was saved: the validation is done now."""
        self._save_to_leave(runner, runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Save the end of the run, if that is not done."""
        if self.save_last and self.saved_iteration != runner.iter:
            self._save_with_step(runner, runner.epoch if self.by_epoch else runner.iter, runner.iter)
        super().after_train(runner)
        runner.writer.wait()

    def _save_to_leave(self, runner: Runner, iteration: int) -> None:
        if self.by_epoch:
            self._write(runner, f'iter_{iteration}{self.suffix}', iteration)
        else:
            self._save_with_step(runner, iteration, iteration)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        self._save_with_step(runner, step, tasks_of(runner).state_dict()['iteration'])

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        if self.save_best is None:
            return
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        step = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        better = False
        for key, rule in zip(self.key_indicators, self.rules):
            name = self._best_names()[key].replace('ckpt', 'score')
            best, score = runner.message_hub.runtime_info.get(name, self.init_value_map[rule]), metrics[key]
            if score is None or not self.is_better_than[key](score, best):
                continue
            better = True
            path = self.folder / f'best_{key}_{self.filename_tmpl.format(step)}'.replace('/', '_')
            path = path.with_suffix('.pth')
            runner.save_checkpoint(
                self.out_dir, path.name, save_optimizer=False, save_param_scheduler=False, meta=meta, by_epoch=False
            )
            old = runner.message_hub.runtime_info.get(self._best_names()[key])
            if old and Path(old) != path:
                self.superseded.append(Path(old))
            runner.message_hub.update_info(name, score)
            self._note_best(runner, key, path)
            runner.logger.info(f'The best checkpoint so far, with {score:0.4f} {key}, is saved to {path.name}')
        if better and self.last_ckpt is not None:  # what a resumed run finds must name the new best one
            self._save_checkpoint_with_step(runner, step, meta)

    def _best_names(self) -> dict[str, str]:
        """Return metric -> name in the message hub of the path of its best checkpoint, as MMEngine calls it."""
        if self.save_best is None:
            return {}
        only = len(self.key_indicators) == 1
        return {key: 'best_ckpt' if only else f'best_ckpt_{key}' for key in self.key_indicators}

    def _note_best(self, runner: Runner, key: str, path: Path) -> None:
        runner.message_hub.update_info(self._best_names()[key], str(path))
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = str(path)
        else:
            self.best_ckpt_path_dict[key] = str(path)

    def _save_with_step(self, runner: Runner, step: int, iteration: int) -> None:
        removed: list[int] = []
        if self.max_keep_ckpts > 0:
            kept = [kept for kept in self.keep_ckpt_ids if kept != step] + [step]
            removed, self.keep_ckpt_ids = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self._write(runner, self.filename_tmpl.format(step), iteration)
        if is_main_process():
            for old in (*(self.folder / self.filename_tmpl.format(old) for old in removed), *self.superseded):
                for suffix in {old.suffix, '.pth', SHARDS}:  # the run may have written the other kind before
                    runner.writer.do(remove_checkpoint, old.with_suffix(suffix))
        self.superseded.clear()

    def _write(self, runner: Runner, name: str, iteration: int) -> None:
        self.last_ckpt = str(self.folder / name)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=dict(epoch=runner.epoch, iter=iteration),
        )
        self.saved_iteration = iteration
        if is_main_process():
            runner.writer.do(write_last_checkpoint, runner.work_dir, self.last_ckpt)


def set_aside(runner: Runner, folder: Path, resumed: Path | None, best: set[str]) -> None:
    """Move checkpoints that are not of a run's past into ``earlier_<time>`` of their folder, and say so in the log.

    ``resumed`` is the checkpoint that the run goes on from, None for a new run, which has no past; ``best`` are the
    names of its best checkpoints.
    """
    found = [path for path in find_checkpoints(folder) if path.parent == folder]
    if resumed is not None and resumed.parent.resolve() == folder.resolve():
        kind, number = number_in(resumed)
        last = {'iter_': runner.iter, 'epoch_': runner.epoch} | {kind: number}
        found = [path for path in found if number_in(path)[1] > last.get(number_in(path)[0], 0)]
    found += [path for path in folder.glob('best_*.pth') if path.name not in best]
    if resumed is None:
        found += folder.glob(LAST_CHECKPOINT)
    if not found:
        return
    target = folder / time.strftime('earlier_%Y%m%d_%H%M%S')
    while target.exists():
        target = target.with_name(f'{target.name}_')
    target.mkdir()
    for path in found:
        path.rename(target / path.name)
    names = ', '.join(path.name for path in found)
    runner.logger.warning(f'{folder} holds what this run does not come from; it is now in {target.name}: {names}')
