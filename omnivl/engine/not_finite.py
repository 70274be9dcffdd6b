"""What follows when a loss or a gradient is not finite: it is told, what led to it is kept, and the run may stop."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor

from omnivl.errors import OmniVLFloatingPointError, OmniVLRuntimeError
from omnivl.storage.checkpoint import save_checkpoint
from omnivl.storage.plain import not_finite_keys

from .distributed import unwrapped
from .loops import tasks_of
from .optim import PrecisionOptimWrapper

MAX_SAVED = 20  # a run that skips on and on must not fill the disk
SHOWN = 5  # names in a message
ADVICE = (
    'Lower the learning rate, lengthen the warm-up, clip gradients (optim_wrapper.clip_grad), or use bf16 or fp32 '
    'instead of fp16'
)


class FiniteWatch:
    """Looks whether the losses of each update were finite and it was made.

    Where not, the batches of the update are saved in the folder ``not_finite`` of the work directory, and the run
    stops, or goes on with a warning, as ``not_finite`` of ``PrecisionOptimWrapper`` says. All ranks see the same
    numbers and do the same.
    """

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []  # of the update, with their losses
        self.saved = 0

    def look(self, runner: Runner) -> None:
        """Look at the batches of this iteration and what they gave, which is that of all ranks."""
        wrapper, loop = runner.optim_wrapper, tasks_of(runner)
        self.batches = [
            dict(losses={key: value for key, value in outputs.items() if 'loss' in key}, batch=batch)
            for batch, outputs in zip(loop.batches, loop.outputs)
        ]
        worst = self._worst()
        if isinstance(wrapper, PrecisionOptimWrapper):
            if wrapper.left_out is not None:
                self._tell(runner, wrapper)
            elif worst:
                self._tell(runner, wrapper, 'was made all the same')
            if wrapper.skipped:
                runner.message_hub.update_scalar('train/skipped_updates', wrapper.skipped)
        elif worst:
            raise OmniVLFloatingPointError(
                f'{_place(runner)}: a loss is not finite ({_listed(worst[0]["losses"])}). {type(wrapper).__name__} '
                'steps all the same, so the weights are damaged, the last checkpoint is not. '
                f'{ADVICE}; PrecisionOptimWrapper leaves such updates out'
            )
        self.batches.clear()

    def _worst(self) -> list[dict[str, Any]]:
        """Return the batches of which a loss is not finite."""
        return [part for part in self.batches if not all(map(math.isfinite, part['losses'].values()))]

    @staticmethod
    def sum_up(runner: Runner) -> None:
        """Say at the end how many updates were left out."""
        skipped = getattr(runner.optim_wrapper, 'skipped', 0)
        if skipped:
            runner.logger.warning(f'Updates left out, as a loss or a gradient was not finite in them: {skipped}')

    def _tell(
        self, runner: Runner, wrapper: PrecisionOptimWrapper, fate: str = 'is left out, the weights are as they were'
    ) -> None:
        """Warn of an update, or raise where the run has to stop."""
        worst = self._worst()
        names = {id(parameter): name for name, parameter in unwrapped(runner.model).named_parameters()}
        gradients = [names[id(parameter)] for parameter in wrapper.spoiled]
        if worst:
            what = f'a loss is not finite ({_listed(worst[0]["losses"])})'
        else:
            what = f'the norm of the gradients is not finite ({wrapper.left_out}; not finite: {_some(gradients)})'
        halved = '' if wrapper.scaler is None else f', the loss scale is {wrapper.scaler.get_scale():g} now'
        message = f'{_place(runner)}: {what}; the update {fate}{halved}'
        # An overflow of fp16 with a finite loss is what its scale is for.
        file = self._save(runner, gradients) if worst or wrapper.not_finite != 'halve' else None
        ranks = all_gather_object(
            (_samples(worst or self.batches), not_finite_keys(unwrapped(runner.model).state_dict()))
        )
        samples = [sample for samples, _ in ranks for sample in samples]
        message += f'; samples {_some(samples)}' if samples else ''
        message += f'; the batch is in {file}' if file else ''
        damaged: list[str] = next((keys for _, keys in ranks if keys), [])
        if damaged:
            raise OmniVLFloatingPointError(
                f'{message}. The model itself is not finite ({_some(damaged)}), so the run cannot go on: resume from '
                f'the last checkpoint. {ADVICE}'
            )
        if wrapper.left_out is None or wrapper.not_finite == 'stop':
            go_on = 'skip' if wrapper.scaler is None else 'halve'
            raise OmniVLFloatingPointError(
                f"{message}. {ADVICE}; optim_wrapper.not_finite='{go_on}' goes on without such updates"
            )
        if wrapper.in_a_row > wrapper.max_skips:
            raise OmniVLFloatingPointError(
                f'{message}. {wrapper.in_a_row} updates in a row, more than optim_wrapper.max_skips='
                f'{wrapper.max_skips}, were left out. {ADVICE}'
            )
        runner.logger.warning(message)

    def _save(self, runner: Runner, gradients: list[str]) -> Path | None:
        """Save what this rank had of the update, to be read with ``torch.load(..., weights_only=True)``."""
        if self.saved >= MAX_SAVED:
            return None
        self.saved += 1
        loop = tasks_of(runner)
        path = Path(runner.work_dir, 'not_finite', f'iter_{loop.iter + 1}_rank{runner.rank}.pth')
        content = dict(iteration=loop.iter + 1, task=loop.task, gradients=gradients, batches=_plain(self.batches))
        try:
            save_checkpoint(content, path)
        except OmniVLRuntimeError as error:  # a full disk: the message says more than the batch would
            runner.logger.warning(str(error))
            return None
        return path


def _samples(parts: list[dict[str, Any]]) -> list[str]:
    """Name the samples of batches: source/sample_id each, where they have these."""
    return [
        f'{sample.get("source")}/{sample.get("sample_id")}'
        for part in parts
        for sample in part['batch'].get('data_samples', ())
    ]


def _plain(value: Any) -> Any:
    """Turn a batch into plain values: of a sample its fields, of anything unknown what it looks like."""
    if isinstance(value, BaseDataElement):
        return {key: _plain(item) for key, item in value.all_items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    known = (
        value is None or isinstance(value, Tensor | np.ndarray | np.generic) or type(value) in (bool, int, float, str)
    )
    return value if known else repr(value)


def _place(runner: Runner) -> str:
    loop = tasks_of(runner)
    return f'iteration {loop.iter + 1} ({loop.task})'


def _listed(losses: Mapping[str, float]) -> str:
    return ', '.join(f'{key} = {value:.4g}' for key, value in losses.items())


def _some(names: list[str]) -> str:
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more
