"""The story of a run for those who watch it: what is trained, figures beside chance, and what to do next."""

import re
import shlex
from collections.abc import Mapping, Sized
from fnmatch import fnmatchcase
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import TensorboardVisBackend
from rich.table import Table

from omnivl.models.interfaces import Answers, Classifies, Contrasts, Writes, offered_by
from omnivl.registry import HOOKS

from .console import tell
from .distributed import unwrapped
from .evaluation_loop import EvaluationLoop
from .loops import tasks_of

LOWER_IS_BETTER = re.compile('(mean|median)_rank')
COMMAND = 'python -m omnivl'  # which is there without a checkout, and without its scripts on the path
# What a model is used for: interface, command and what it needs beside files.
USES = (
    (Writes, 'caption', ''),
    (Answers, 'answer', ' --text "what is this?"'),
    (Contrasts, 'retrieve', ' --text "a dog runs"'),
    (Classifies, 'classify', ''),
)


@HOOKS.register_module()
class StoryHook(Hook):
    """Tells what is trained, shows a table after every validation and test, and says which commands come next."""

    priority = 'VERY_LOW'  # behind what writes the figures down and what saves the best checkpoint

    def before_train(self, runner: Runner) -> None:
        """Say what is trained, on what, and where everything goes."""
        tell(runner, *summary(runner))

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Show the figures beside chance, the best so far, and the change."""
        table = figures_table(runner, runner.val_loop, metrics or {}, compare=True)
        tell(runner, '', f'Validation after iteration {runner.iter} of {runner.max_iters}', *table, '')

    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Show the figures beside chance, and where they are; MMEngine gives those of a test to no tracker."""
        runner.visualizer.add_scalars(dict(metrics or {}), step=0)
        origin, folder = getattr(runner, 'loaded_from', None), Path(runner.work_dir)
        table = figures_table(runner, runner.test_loop, metrics or {}, compare=False)
        tested = f'the model after iteration {runner.iter}' if runner.iter else origin or 'the initial values'
        tell(runner, '', f'Test of {tested}', *table, '')
        lines = [('figures', f'{folder / "metrics.json"}'), ('answers', f'{folder / "predictions"}'), *curves(runner)]
        tell(runner, *aligned('Next', [*lines, *(uses(runner, origin) if origin and Path(origin).exists() else [])]))

    def after_train(self, runner: Runner) -> None:
        """Name the commands that come next."""
        config, steps = runner.cfg.filename, []
        if config is not None and runner.cfg.get('test_dataloader') is not None:
            steps.append(('test', f'{COMMAND} test {shlex.quote(config)} {shlex.quote(runner.work_dir)}'))
        tell(runner, *aligned('Next', [*steps, *uses(runner, runner.work_dir), *curves(runner)]))


def summary(runner: Runner) -> list[str]:
    """Describe a training: model, tasks and data, length, places."""
    loop, model = tasks_of(runner), unwrapped(runner.model)
    parameters = list(model.parameters())  # shared ones are there once
    total, trained = (sum(one.numel() for one in parameters if one.requires_grad or frozen) for frozen in (True, False))
    place = f'on {parameters[0].device}' + (f' in {runner.world_size} processes' if runner.world_size > 1 else '')
    lines = [('model', f'{total:,} parameters, {trained:,} of them trained, {place}, seed {runner.seed}')]
    batches = loop.schedule.counts_before(loop.max_iters)
    for name, stream in loop.streams.items():
        items = f'{len(stream.dataset):,} items' if isinstance(stream.dataset, Sized) else 'items without end'
        epochs = f' ({batches.get(name, 0) / stream.length:.1f} epochs)' if stream.length else ''
        chosen = f', losses {", ".join(loop.losses[name] or ())}' if loop.losses[name] else ''
        lines.append((f'task {name}', f'{items}, {batches.get(name, 0):,} batches{epochs}{chosen}'))
    start = f', from iteration {loop.iter} on' if loop.iter else ''
    lines.append(('length', f'{loop.max_iters:,} iterations{start}'))
    if isinstance(runner.val_loop, EvaluationLoop):
        often = f'every {loop.val_interval:,} {"epochs" if loop._by_epoch else "iterations"}'
        lines.append(('validation', f'{often}: {", ".join(runner.val_loop.evaluator)}'))
    lines += [('weights', runner.loaded_from)] if getattr(runner, 'loaded_from', None) else []
    folder = ('folder', f'{runner.work_dir} (stopped? the same command goes on, a training with --resume)')
    log = ('log', f'{runner.logger.log_file} (with config and environment)')
    return aligned(f'Training {type(model).__name__}', [*lines, folder, log, *curves(runner)])


def figures_table(
    runner: Runner, loop: EvaluationLoop, metrics: Mapping[str, float], compare: bool
) -> tuple[Table | str, ...]:
    """Make the table of an evaluation: a figure and its chance in each row, and what validations before it gave.

    It has the headlines of each evaluation; the last line says how many figures more are in which file.
    """
    table = Table('evaluation', 'metric', pad_edge=False)
    for column in ('figure', 'chance', *(('best', 'change') if compare else ())):
        table.add_column(column, justify='right')
    chance = getattr(loop, 'chance', {})
    shown, left_out = '', 0
    for key, value in metrics.items():
        name, _, metric = key.rpartition('.')
        headline = getattr(loop.evaluator.get(name), 'headline', ('*',))
        if not any(fnmatchcase(metric, pattern) for pattern in headline):
            left_out += 1
            continue
        row = ['' if name == shown else name, metric, f'{value:.2f}', f'{chance[key]:.2f}' if key in chance else '']
        shown = name
        table.add_row(*row, *(compared(runner, key, value) if compare else ()))
    return (table, f'{left_out} more figures in {loop.directory / "metrics.json"}') if left_out else (table,)


def compared(runner: Runner, key: str, value: float) -> tuple[str, str]:
    """Compare a figure with those of the validations before it: the best of all, and the change since the last."""
    history = runner.message_hub.log_scalars.get(f'val/{key}')  # this one is the last of them; a resumed run has all
    values = [value] if history is None else [float(one) for one in history.data[0]]
    lower = LOWER_IS_BETTER.search(key) is not None
    best = f'{(min if lower else max)(values):.2f}'
    if len(values) < 2:
        return best, ''
    change = value - values[-2]
    colour = 'green' if (change < 0) == lower else 'red'
    return best, f'[{colour}]{change:+.2f}[/]' if change else '0.00'


def uses(runner: Runner, weights: str | Path) -> list[tuple[str, str]]:
    """List commands that use the model with these weights."""
    if runner.cfg.filename is None:
        return []
    model = f'{shlex.quote(runner.cfg.filename)} {shlex.quote(str(weights))}'
    offered = [use for use in USES if offered_by(unwrapped(runner.model), use[0]) is not None]
    return [(task, f'{COMMAND} {task} {model} FILES{more}') for _, task, more in offered[:2]]


def curves(runner: Runner) -> list[tuple[str, str]]:
    """Say how to look at the curves, if TensorBoard has them."""
    has_curves = any(isinstance(one, TensorboardVisBackend) for one in runner.visualizer._vis_backends.values())
    return [('curves', f'tensorboard --logdir {shlex.quote(runner.work_dir)}')] if has_curves else []


def aligned(title: str, rows: list[tuple[str, str]]) -> list[str]:
    """Put names in one column and what they stand for in another, below a title; without rows, nothing."""
    width = max((len(name) for name, _ in rows), default=0)
    return [title, *(f'  {name:<{width}}  {value}' for name, value in rows)] if rows else []
