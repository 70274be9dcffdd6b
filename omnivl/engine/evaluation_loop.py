"""The loop of validation and test: named data, named protocols, one tree of figures."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import BaseLoop, Runner

from omnivl.datasets.guard import QUARANTINE
from omnivl.datasets.loaders import build_loaders
from omnivl.errors import OmniVLValueError
from omnivl.models.mode import evaluation_mode
from omnivl.registry import EVALUATIONS, LOOPS
from omnivl.storage.files import write_json

from .config import ConfigError
from .distributed import unwrapped
from .fully_shard import gathered
from .run_state import get_random_state, set_random_state
from .streams import LoaderGroup

if TYPE_CHECKING:
    from omnivl.evaluation.base import Evaluation, EvaluationResult

PRECISIONS = {'bf16': torch.bfloat16, 'fp16': torch.float16}


@LOOPS.register_module()
class EvaluationLoop(BaseLoop):
    """Runs each evaluation on the loader of the same name.

    Writes ``metrics.json`` and ``predictions/<name>.json``, for a test into the work directory, for a validation into
    its folder ``val``; after each evaluation, so that a later one that fails costs nothing (``run.missing`` names what
    is not there). Leaves the mode of the model and all random states as they were, so that a run with validation trains
    as one without.

    Args:
        runner: The runner.
        dataloader: Name -> config of a loader.
        evaluator: Name -> config of an evaluation; the same names.
        stage: ``'val'`` or ``'test'``, set by the runner.
        amp: ``'bf16'`` or ``'fp16'`` for autocast, ``None`` for full precision.
        save_predictions: Whether to write the predictions.
        submission_dir: Where to write what the servers of the benchmarks take; None = nowhere.

    Raises:
        OmniVLValueError: If data and evaluations do not have the same names, or ``amp`` is none of these.
        OmniVLTypeError: If the model cannot serve an evaluation; the message says what it lacks.
        ConfigError: If there is a ``submission_dir``, but no evaluation has anything for a server.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Mapping[str, Any],
        evaluator: Mapping[str, Any],
        stage: str,
        amp: str | None = None,
        save_predictions: bool = True,
        submission_dir: str | None = None,
    ) -> None:
        both_named = isinstance(evaluator, Mapping) and isinstance(dataloader, Mapping)
        if not both_named or set(evaluator) != set(dataloader):
            raise OmniVLValueError(
                f'{stage}_dataloader and {stage}_evaluator must be dicts with the same names; got '
                f'{_names(dataloader)} and {_names(evaluator)}'
            )
        if amp is not None and amp not in PRECISIONS:
            raise OmniVLValueError(f'{stage}_cfg.amp is {amp!r}; allowed: None, {", ".join(map(repr, PRECISIONS))}')
        self.evaluator: dict[str, Evaluation] = {
            name: EVALUATIONS.build(config) if isinstance(config, Mapping) else config
            for name, config in evaluator.items()
        }
        for name, evaluation in self.evaluator.items():  # before any data is looked for
            evaluation.check(unwrapped(runner.model), name)
        quarantine = Path(runner.work_dir) / QUARANTINE
        loaders = build_loaders(dataloader, f'{stage}_dataloader', runner.seed, training=False, quarantine=quarantine)
        super().__init__(runner, LoaderGroup(loaders, sum(len(loader) for loader in loaders.values())))
        self.stage = stage
        self.chance: dict[str, float] = {}  # of the figures of the last run
        self.predictions: dict[str, list[dict[str, Any]]] = {}  # of it, for the hooks after it, on the first rank
        self.amp = amp
        self.save_predictions = save_predictions
        self.submission_dir = None if submission_dir is None else Path(submission_dir)
        if submission_dir is not None and all(one.submission([]) is None for one in self.evaluator.values()):
            raise ConfigError(
                f'nothing to submit: {sorted(self.evaluator)} of {stage}_evaluator have no form for a server; VQAv2 '
                "(protocol='vqav2' of QAEvaluation), COCO captions and NoCaps (submission_file of CaptionEvaluation) "
                'have one'
            )

    @property
    def directory(self) -> Path:
        """Where the results are written."""
        work_dir = Path(self.runner.work_dir)
        return work_dir if self.stage == 'test' else work_dir / 'val'

    def run(self) -> dict[str, float]:
        """Evaluate; returns ``'<name>.<metric>'`` -> figure, the same on every rank."""
        self.runner.call_hook(f'before_{self.stage}')
        self.runner.call_hook(f'before_{self.stage}_epoch')
        metrics: dict[str, float] = {}
        chance: dict[str, float] = {}
        protocol, seconds, to_submit = {}, {}, {}
        for name, evaluation in self.evaluator.items():
            start = time.perf_counter()
            result = self._evaluate(name, evaluation)
            seconds[name] = round(time.perf_counter() - start, 3)
            metrics |= flat_names(name, result.metrics)
            chance |= flat_names(name, result.chance)
            protocol[name] = result.protocol
            if self.save_predictions and is_main_process():
                write_json(self.directory / 'predictions' / f'{name}.json', result.predictions)
            if is_main_process():  # now, since a later evaluation may fail
                to_submit[name] = result.predictions
                self._write_figures(metrics, chance, protocol, seconds)
        # Hooks decide by the figures (which checkpoint is the best, when to stop): all ranks must see the same.
        shared = [metrics]
        broadcast_object_list(shared)
        metrics = shared[0]
        if self.submission_dir is not None:  # last: what a server cannot take must not cost the figures
            for name, predictions in to_submit.items():
                self._write_submission(name, self.evaluator[name], self.submission_dir, predictions)
        self.chance, self.predictions = chance, to_submit
        self.runner.call_hook(f'after_{self.stage}_epoch', metrics=metrics)
        self.predictions = {}
        self.runner.call_hook(f'after_{self.stage}')
        return metrics

    def _evaluate(self, name: str, evaluation: 'Evaluation') -> 'EvaluationResult':
        model = unwrapped(self.runner.model)
        self.runner.logger.info(f'Evaluating {name} with {type(evaluation).__name__} ...')
        with unchanged(model), gathered(self.runner.model), self._autocast(model):
            return evaluation.run(model, self.dataloader[name], progress=name)

    def _write_figures(self, metrics: dict, chance: dict, protocol: dict, seconds: dict) -> None:
        """Write those of the evaluations so far, and which are to come."""
        run = self._origin() | dict(missing=[name for name in self.evaluator if name not in seconds])
        tree = nested(metrics) | dict(chance=nested(chance), protocol=protocol, seconds=seconds, run=run)
        write_json(self.directory / 'metrics.json', tree)

    def _write_submission(
        self, name: str, evaluation: 'Evaluation', folder: Path, predictions: list[dict[str, Any]]
    ) -> None:
        content = evaluation.submission(predictions)
        if content is None:
            self.runner.logger.warning(f'{name} has no form for a server, so nothing is written to submit')
            return
        path = folder / evaluation.submission_name(name)
        write_json(path, content)
        self.runner.logger.info(f'For the server: {path}')

    def _autocast(self, model: torch.nn.Module) -> contextlib.AbstractContextManager:
        if self.amp is None:
            return contextlib.nullcontext()
        device = next(model.parameters()).device
        return torch.autocast(device.type, dtype=PRECISIONS[self.amp])

    def _origin(self) -> dict[str, Any]:
        in_training = isinstance(self.runner._train_loop, BaseLoop)
        return dict(
            stage=self.stage,
            checkpoint=self.runner.loaded_from,
            iteration=self.runner.iter if in_training else None,
            time=time.strftime('%Y-%m-%d %H:%M:%S'),
        )


@contextlib.contextmanager
def unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Evaluate without a trace: no gradients, ``model.eval()``, and modes and random states put back after it."""
    random_state = get_random_state()
    with evaluation_mode(model):
        try:
            yield
        finally:
            set_random_state(random_state)


def flat_names(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Put the name of an evaluation before its metrics: ``'<name>.<metric>'`` -> figure."""
    return {f'{name}.{metric}': float(value) for metric, value in metrics.items()}


def nested(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Turn dotted names into a tree: ``'a.b.c'`` -> figure becomes ``{'a': {'b': {'c': figure}}}``.

    A name that is the beginning of another is an error.
    """
    tree: dict[str, Any] = {}
    for name, value in metrics.items():
        *path, leaf = name.split('.')
        node = tree
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise OmniVLValueError(f'the metric {name!r} is below another metric; rename the evaluation')
        if isinstance(node.get(leaf), dict):
            raise OmniVLValueError(f'the metric {name!r} has other metrics below it; rename the evaluation')
        node[leaf] = value
    return tree


def _names(value: object) -> str:
    return str(sorted(value)) if isinstance(value, Mapping) else type(value).__name__
