"""What evaluations of classes share: views of one visual, rows, figures and predictions."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from omnivl.datasets.labels import distinct_names
from omnivl.errors import OmniVLValueError
from omnivl.structures import VLBatch, VLDataSample

from .base import EvaluationResult, describe
from .functional import class_ranks, per_class_accuracy, recall_at

SHOWN = 5  # classes per visual in the predictions


def check_top_k(top_k: Sequence[int]) -> tuple[int, ...]:
    """Return ``top_k`` if these are numbers of at least 1."""
    if not top_k or min(top_k) < 1:
        raise OmniVLValueError(f'top_k must be numbers of at least 1, e.g. (1, 5), got {top_k}')
    return tuple(top_k)


def dataset_classes(dataloader: Iterable, name: str, task: str) -> list[str]:
    """List the classes of the dataset of a loader by their labels; several of one name get their label behind.

    A dataset without classes is an ``OmniVLValueError``.
    """
    classes = getattr(getattr(dataloader, 'dataset', None), 'classes', None)
    if not classes:
        raise OmniVLValueError(f'{name}: the dataset has no classes; {task} needs a LabelDataset')
    return distinct_names(classes)


def mean_over_views(values: np.ndarray, views: int) -> np.ndarray:
    """Average (B * V, C) over V views: (B, C)."""
    return values.reshape(-1, views, values.shape[1]).mean(axis=1)


def label_of(sample: VLDataSample, classes: Sequence[str], name: str) -> int:
    """Return the label of a sample; an ``OmniVLValueError`` if there is none, or it is not one of the classes."""
    label = sample.get('label')
    if label is None:
        raise OmniVLValueError(f'{name}: sample {sample.sample_id!r} has no label; use a LabelDataset')
    if not 0 <= label < len(classes):
        raise OmniVLValueError(
            f'{name}: sample {sample.sample_id!r} has label {label}, but there are {len(classes)} classes'
        )
    return int(label)


def class_rows(
    samples: Sequence[VLDataSample], batch: VLBatch, scores: np.ndarray, classes: Sequence[str], name: str
) -> list[dict[str, Any]]:
    """Write one row per visual: which class it is, which rank that has, and the best classes.

    Args:
        samples: B samples.
        batch: What the model saw of them, view by view (from ``VLBatch.split_views``).
        scores: Higher is better; float (B, C).
        classes: C class names.
        name: Name of the evaluation, for messages.

    Returns:
        Rows for ``gather_rows``.
    """
    labels = np.array([label_of(sample, classes, name) for sample in samples])
    best = np.argsort(-scores, axis=1, kind='stable')[:, :SHOWN]
    rows = []
    for sample, label, rank, of_row, order in zip(samples, labels, class_ranks(scores, labels), scores, best):
        row = describe(sample, batch) | dict(label=int(label), rank=int(rank), views=len(batch) // len(samples))
        rows.append(row | dict(best={int(index): float(of_row[index]) for index in order}))
    return rows


def class_result(
    rows: Sequence[dict[str, Any]],
    classes: Sequence[str],
    top_k: Sequence[int],
    name: str,
    task: str,
    protocol: dict[str, Any],
) -> EvaluationResult:
    """Compute the figures, in percent: ``top<k>``, and ``per_class``, the mean over the classes that occur.

    Args:
        rows: Of all ranks, from :func:`class_rows`.
        classes: C class names.
        top_k: The k of the accuracies.
        name: Name of the evaluation, for the log.
        task: For the protocol.
        protocol: What else is worth knowing of how the figures were made.

    Returns:
        The result. Chance is that of a guess: k of C classes.
    """
    ranks, labels = (np.array([row[key] for row in rows]) for key in ('rank', 'label'))
    by_class = per_class_accuracy(ranks == 1, labels, len(classes))
    missing = [classes[index] for index in np.flatnonzero(np.isnan(by_class)).tolist()]
    if missing:
        print_log(f'{name}: {len(missing)} of {len(classes)} classes have no sample: {missing[:5]}', logger='current')
    facts = dict(
        task=task,
        modality=rows[0]['modality'],
        **rows[0]['shape'],
        views=rows[0]['views'],
        visuals=len(rows),
        classes=len(classes),
        classes_without_samples=len(missing),
    )
    return EvaluationResult(
        {f'top{k}': recall_at(ranks, k) for k in top_k} | {'per_class': float(np.nanmean(by_class))},
        {f'top{k}': 100.0 * min(k, len(classes)) / len(classes) for k in top_k} | {'per_class': 100.0 / len(classes)},
        [_prediction(row, classes) for row in rows],
        facts | protocol,
    )


def _prediction(row: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    scores = {classes[index]: score for index, score in row['best'].items()}
    shared = {key: row[key] for key in ('sample_id', 'source', 'visual', 'modality')}
    return shared | {'label': classes[row['label']], 'predicted': next(iter(scores)), 'scores': scores}
