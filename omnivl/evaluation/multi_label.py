"""Classification of samples with any number of classes, by a finetuned head."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Classifies, serving
from omnivl.registry import EVALUATIONS
from omnivl.structures import VLDataSample

from .base import Evaluation, EvaluationResult, batches, describe, gather_described
from .classes import SHOWN, dataset_classes, mean_over_views
from .multi_label_scores import multi_label_metrics


@EVALUATIONS.register_module()
class MultiLabelEvaluation(Evaluation):
    """Scores each class by itself with the model's head; the probabilities (sigmoid) of the views are averaged.

    Classes are ``dataloader.dataset.classes``; samples have a set of them (``MultiLabelDataset``) or one
    (``LabelDataset``). Metrics: ``mAP`` and ``AUC`` in percent, means over the classes that some samples have and
    others have not, and ``d_prime`` of the mean area, as AudioSet's figures are.

    Predictions have for each sample ``labels`` and ``scores``: the five likeliest classes -> probability.
    """

    headline = ('mAP', 'AUC', 'd_prime')

    @property
    def needs(self) -> tuple[type, ...]:
        """A model with a head for classes."""
        return (Classifies,)

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Run the head once over all views; different numbers of classes are an ``OmniVLValueError``."""
        classifies = serving(model, Classifies, name)
        classes = dataset_classes(dataloader, name, 'classification')
        if classifies.num_classes != len(classes):
            raise OmniVLValueError(
                f'{name}: the model has a head for {classifies.num_classes} classes, the dataset has {len(classes)}: '
                'set model.num_classes'
            )
        mine: list[dict[str, Any]] = []
        for batch, samples in batches(model, dataloader, name):
            batch = batch.split_views()
            scores = classifies.classify(batch).double().sigmoid().cpu().numpy()
            for sample, row in zip(samples, mean_over_views(scores, batch.views_in_row)):
                true = np.flatnonzero(classes_of(sample, len(classes), name)).tolist()
                mine.append(describe(sample, batch) | dict(true=true, scores=row))
        rows, seen = gather_described(mine, name)
        scores = np.stack([row['scores'] for row in rows])
        is_true = np.zeros(scores.shape, bool)
        for place, row in enumerate(rows):
            is_true[place, row['true']] = True
        judged = int(((share := is_true.mean(axis=0)) > 0).sum() - (share == 1).sum())
        protocol = dict(task='multi-label classification', **seen, visuals=len(rows), classes=len(classes))
        return EvaluationResult(
            multi_label_metrics(scores, is_true),
            # A random order has the share of a class as its average precision.
            {'mAP': 100.0 * float(share[(share > 0) & (share < 1)].mean()), 'AUC': 50.0, 'd_prime': 0.0},
            [_prediction(row, classes) for row in rows],
            protocol | dict(judged_classes=judged, averaged='classes'),
        )


def classes_of(sample: VLDataSample, count: int, name: str) -> np.ndarray:
    """Return the classes of a sample, of one or of several: bool (C,).

    An ``OmniVLValueError`` if it has none of these forms.
    """
    label = sample.get('label')
    if isinstance(label, int) and 0 <= label < count:
        return np.arange(count) == label
    if isinstance(label, Sequence) and len(label) == count:
        return np.array(label, bool)
    raise OmniVLValueError(
        f'{name}: sample {sample.sample_id!r} has no classes, or other than these {count}; use a MultiLabelDataset or '
        'a LabelDataset'
    )


def _prediction(row: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    best = np.argsort(-row['scores'], kind='stable')[:SHOWN]
    shared = {key: row[key] for key in ('sample_id', 'source', 'visual', 'modality')}
    scores = {classes[place]: float(row['scores'][place]) for place in best}
    return shared | {'labels': [classes[place] for place in row['true']], 'scores': scores}
