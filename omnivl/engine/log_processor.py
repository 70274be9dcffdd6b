"""The line of the log, in an order a reader can use; everything goes to the curves as it is."""

import datetime
from typing import Any

from mmengine.registry import LOG_PROCESSORS
from mmengine.runner import LogProcessor, Runner

from .loops import AlternatingTrainLoop


@LOG_PROCESSORS.register_module()
class OmniVLLogProcessor(LogProcessor):
    """MMEngine's log processor with a training line grouped by task.

    Curves get every scalar (``loss``, ``<task>/loss_univlc``, ``temperature``); the line says nothing twice.
    """

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict[str, Any], str]:
        """Return the scalars for the curves, and the line for the terminal."""
        tag, line = super().get_log_after_iter(runner, batch_idx, mode)
        if mode != 'train' or not isinstance(runner.train_loop, AlternatingTrainLoop):
            return tag, line
        values = {key.removeprefix('train/'): value for key, value in tag.items()}
        return tag, '  '.join(self._parts(runner, runner.train_loop, values))

    def _parts(self, runner: Runner, loop: AlternatingTrainLoop, values: dict[str, Any]) -> list[str]:
        iteration = str(loop.iter + 1).rjust(len(str(loop.max_iters)))
        parts = [f'Iter(train) [{iteration}/{loop.max_iters}]', f'lr: {values["lr"]:.4e}']
        eta = runner.message_hub.get_info('eta')
        if eta is not None:
            parts.append(f'eta: {datetime.timedelta(seconds=int(eta))}')
        parts += [
            f'{name}: {values[key]:.4f}' for name, key in (('time', 'time'), ('data', 'data_time')) if key in values
        ]
        if 'memory' in values:
            parts.append(f'memory: {values["memory"]}')
        for name in loop.streams:
            losses = [
                f'{key.removeprefix(f"{name}/")} {value:.{self.num_digits}f}'
                for key, value in values.items()
                if key.startswith(f'{name}/') and 'loss' in key
            ]
            if losses:
                speed = values.get(f'{name}/samples_per_second')
                pace = '' if speed is None else f' ({speed:.1f} samples/s)'
                parts.append(f'{name}: {", ".join(losses)}{pace}')
        said = {'lr', 'base_lr', 'time', 'data_time', 'memory', 'iter', 'epoch', 'step'}
        for key, value in values.items():
            if key not in said and '/' not in key and 'loss' not in key:
                parts.append(f'{key}: {value:.{self.num_digits}f}' if isinstance(value, float) else f'{key}: {value}')
        return parts
