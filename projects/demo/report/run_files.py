"""Reads what the two stages and the evaluation of a demo run have left on disk."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from omnivl.errors import OmniVLFileNotFoundError

STAGES = ('stage1', 'stage2')
MODALITIES = ('image', 'video')
# How the evaluations on combinations that training never had are called, and their figures.
UNSEEN = '_unseen'
# Modules of a checkpoint that only training needs; they are counted apart.
TRAINING_ONLY = ('momentum', 'queue')


class Curve(NamedTuple):
    """One quantity over training.

    Attributes:
        steps: Iterations, counted through both stages; increasing.
        values: One number per step.
    """

    steps: list[int]
    values: list[float]


@dataclass
class RunFiles:
    """Everything the report shows.

    Attributes:
        metrics: What ``tools/test.py`` wrote: modality -> task -> measure -> percent; and ``chance``, ``protocol``. The
            figures of ``retrieval_unseen`` stand beside those of ``retrieval``, as ``t2i_r1_unseen``.
        predictions: Evaluation, e.g. ``'image.retrieval'`` -> its rows.
        scalars: Stage -> logged rows in the order of their steps.
        seconds: Step of the quickstart -> seconds.
        parameters: Module -> number of parameters; a weight that two modules share is counted with the first.
        training_only: Numbers that only training needs (momentum encoder, queues).
        corpus: The manifest of the demo corpus, as far as there is one.
    """

    metrics: dict[str, Any]
    predictions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    scalars: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    training_only: int = 0
    corpus: dict[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> dict[str, int]:
        """Stage -> its iterations, as far as they were logged."""
        return {stage: max((row['step'] for row in rows), default=0) for stage, rows in self.scalars.items()}

    def get(self, name: str, tree: str | None = None) -> float | None:
        """Look up a number by its dotted name.

        Args:
            name: E.g. ``'image.retrieval.t2i_r1'``.
            tree: ``'chance'`` for its chance level.

        Returns:
            The number, or ``None`` if the evaluation did not have it.
        """
        node: Any = self.metrics if tree is None else self.metrics.get(tree, {})
        for key in name.split('.'):
            if not isinstance(node, Mapping) or key not in node:
                return None
            node = node[key]
        return float(node) if isinstance(node, int | float) else None

    def curves(self, quantity: str) -> dict[str, Curve]:
        """Gather one logged quantity.

        Args:
            quantity: E.g. ``'loss_univlc'``, ``'lr'``.

        Returns:
            ``'image'`` and ``'video'`` -> the curve of their batches through both stages; where the log does not tell
            them apart, one curve under ``'both'``.
        """
        curves = {name: self._curve(f'{name}/{quantity}') for name in MODALITIES}
        curves = {name: curve for name, curve in curves.items() if curve.steps}
        both = self._curve(quantity)
        return curves or ({'both': both} if both.steps else {})

    def validation_curves(self) -> dict[str, Curve]:
        """Gather the retrieval figures (R@1, caption to visual) of the validations during training."""
        keys = {'image': 'image.retrieval.t2i_r1', 'video': 'video.retrieval.t2v_r1'}
        curves = {name: self._curve(key) for name, key in keys.items()}
        return {name: curve for name, curve in curves.items() if len(curve.steps) > 1}

    def _curve(self, key: str) -> Curve:
        curve, offset = Curve([], []), 0
        for stage, rows in self.scalars.items():
            for row in rows:
                value = row.get(key)
                if isinstance(value, int | float) and math.isfinite(value):
                    curve.steps.append(offset + row['step'])
                    curve.values.append(float(value))
            offset += self.steps[stage]
        return curve


def read_run(work_dir: Path, data: Path) -> RunFiles:
    """Read a finished run.

    Args:
        work_dir: The work directory of the quickstart, with ``stage1``, ``stage2`` and ``test``.
        data: The demo corpus.

    Returns:
        What the report needs.

    Raises:
        OmniVLFileNotFoundError: The evaluation has not been run.
    """
    metrics_file = work_dir / 'test' / 'metrics.json'
    if not metrics_file.exists():
        raise OmniVLFileNotFoundError(
            f'{metrics_file} is missing: the report needs the evaluation of a trained model. Run `python tools/test.py '
            f'CONFIG CHECKPOINT --work-dir {work_dir / "test"}`, or the whole `bash tools/quickstart.sh`'
        )
    parameters, training_only = count_parameters(work_dir)
    return RunFiles(
        metrics=_with_unseen_beside(_read_json(metrics_file)),
        predictions={file.stem: _read_json(file) for file in sorted((work_dir / 'test/predictions').glob('*.json'))},
        scalars={stage: read_scalars(work_dir / stage) for stage in STAGES if (work_dir / stage).is_dir()},
        seconds=_read_json(work_dir / 'seconds.json', {}),
        parameters=parameters,
        training_only=training_only,
        corpus=_read_json(data / 'manifest.json', {}),
    )


def _with_unseen_beside(metrics: dict[str, Any]) -> dict[str, Any]:
    for tree in (metrics, metrics.get('chance', {})):
        for modality in MODALITIES:
            tasks = tree.get(modality, {})
            for name in [name for name in tasks if name.endswith(UNSEEN)]:
                figures = tasks.pop(name)
                beside = tasks.setdefault(name.removesuffix(UNSEEN), {})
                beside |= {measure + UNSEEN: value for measure, value in figures.items()}
    return metrics


def read_scalars(stage_dir: Path) -> list[dict[str, Any]]:
    """Read what MMEngine logged for a stage.

    A resumed stage has one log per run. Where a run goes back to an earlier checkpoint, its own rows replace those that
    the interrupted run had written for the same steps.

    Args:
        stage_dir: The work directory of the stage.

    Returns:
        Rows with ``step`` (iterations of this stage), in the order of their steps.
    """
    rows: list[dict[str, Any]] = []
    for file in sorted(stage_dir.glob('*/vis_data/scalars.json')):
        fresh = list(_parse_lines(file.read_text(encoding='utf-8').splitlines()))
        if fresh:
            first = min(row['step'] for row in fresh)
            rows = [row for row in rows if row['step'] < first] + fresh
    return sorted(rows, key=lambda row: row['step'])


def count_parameters(work_dir: Path) -> tuple[dict[str, int], int]:
    """Count the parameters in the last checkpoint.

    Args:
        work_dir: The work directory of the quickstart.

    Returns:
        Module -> number of parameters (a shared weight once), and how many numbers only training needs.
    """
    import torch

    for stage in reversed(STAGES):
        pointer = work_dir / stage / 'last_checkpoint'
        if not pointer.exists():
            continue
        # The folder may have been moved since the path was written.
        file = pointer.parent / Path(pointer.read_text().strip()).name
        if file.is_file():
            state = torch.load(file, map_location='cpu', weights_only=True)
            return _count_by_module(state.get('state_dict', state))
    return {}, 0


def _count_by_module(state: Mapping[str, Any]) -> tuple[dict[str, int], int]:
    counts: dict[str, int] = {}
    training_only, seen = 0, set()
    for name, tensor in state.items():
        module, *rest = name.removeprefix('trunk.').split('.')
        if not rest or tensor.data_ptr() in seen or not tensor.is_floating_point():
            continue
        seen.add(tensor.data_ptr())
        if any(word in module for word in TRAINING_ONLY):
            training_only += tensor.numel()
        else:
            counts[module] = counts.get(module, 0) + tensor.numel()
    return counts, training_only


def _parse_lines(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # the last line of a run that was killed while it wrote
            continue
        if isinstance(row, dict) and isinstance(row.get('step'), int):
            yield row


def _read_json(file: Path, default: Any = None) -> Any:
    if default is not None and not file.exists():
        return default
    with file.open(encoding='utf-8') as stream:
        return json.load(stream)
