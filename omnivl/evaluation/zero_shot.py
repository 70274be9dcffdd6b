"""Classification by prompts: the class whose sentences are most similar to the visual."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log
from torch import nn

from omnivl.datasets.prompts import fill_prompt, get_templates
from omnivl.registry import EVALUATIONS
from omnivl.structures import VLDataSample

from .base import Evaluation, EvaluationResult, batches, describe, gather_rows
from .functional import class_ranks, per_class_accuracy, top_k_accuracy
from .texts import encode_texts, to_numpy

SHOWN = 5  # classes per visual in the predictions


@EVALUATIONS.register_module()
class ZeroShotEvaluation(Evaluation):
    """Compares each visual with every class, a class being the mean of its prompts' unit vectors, of unit length again.

    Classes are ``dataloader.dataset.classes``. Metrics in percent: ``top1``, ``top5`` (all of ``top_k``) and
    ``per_class``, the mean of the top-1 accuracies of the classes that occur. Ties count against the model.

    Predictions have for each visual ``label``, ``predicted`` (both by name) and ``scores``: the five most similar
    classes -> cosine similarity.

    Args:
        templates: A name of ``omnivl/datasets/prompts.py``, or sentences with ``{}`` for the class name.
        top_k: The k of the accuracies.
        text_batch: Prompts per forward pass of the text encoder.
    """

    def __init__(
        self,
        templates: str | Sequence[str],
        top_k: Sequence[int] = (1, 5),
        text_batch: int = 256,
    ) -> None:
        if not top_k or min(top_k) < 1:
            raise ValueError(f'top_k must be numbers of at least 1, e.g. (1, 5), got {top_k}')
        if text_batch < 1:
            raise ValueError(f'text_batch must be at least 1, got {text_batch}')
        self.templates = get_templates(templates)
        self.top_k = tuple(top_k)
        self.text_batch = text_batch

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Encodes prompts and visuals once."""
        classes = _classes(dataloader, name)
        class_features = self.class_features(model, dataloader.dataset, name)
        rows: list[dict[str, Any]] = []
        for batch, samples in batches(model, dataloader, name):
            pooled = model.encode_visual(batch.frames, batch.modality).pooled
            vectors = to_numpy(model.project_visual(pooled))
            rows += [
                describe(sample, batch) | {'label': _label(sample, classes, name), 'feature': vector}
                for sample, vector in zip(samples, vectors)
            ]
        rows = gather_rows(rows, name)
        scores = np.stack([row['feature'] for row in rows]) @ class_features.T
        labels = np.array([row['label'] for row in rows])
        ranks = class_ranks(scores, labels)
        by_class = per_class_accuracy(ranks == 1, labels, len(classes))
        missing = [classes[index] for index in np.flatnonzero(np.isnan(by_class))]
        if missing:
            print_log(
                f'{name}: {len(missing)} of {len(classes)} classes have no sample: {missing[:5]}', logger='current'
            )
        metrics = {f'top{k}': top_k_accuracy(ranks, k) for k in self.top_k}
        chance = {f'top{k}': 100.0 * min(k, len(classes)) / len(classes) for k in self.top_k}
        protocol = dict(
            task='zero_shot',
            modality=rows[0]['modality'],
            **rows[0]['shape'],
            visuals=len(rows),
            classes=len(classes),
            classes_without_samples=len(missing),
            templates=list(self.templates),
        )
        return EvaluationResult(
            metrics | {'per_class': float(np.nanmean(by_class))},
            chance | {'per_class': 100.0 / len(classes)},
            _predictions(rows, scores, classes),
            protocol,
        )

    def class_features(self, model: nn.Module, dataset: Any, name: str) -> np.ndarray:
        """One unit vector per class, from all its prompts; float32 (C, E).

        The prompts go through the text part of the dataset's pipeline, as those of training did: a full stop that
        training never saw costs half of the accuracy.
        """
        prompts = [fill_prompt(template, class_name) for class_name in dataset.classes for template in self.templates]
        features = encode_texts(model, [dataset.tokenize(prompt) for prompt in prompts], self.text_batch, name)
        means = features.reshape(len(dataset.classes), len(self.templates), -1).mean(axis=1)
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def _classes(dataloader: Iterable, name: str) -> list[str]:
    classes = getattr(getattr(dataloader, 'dataset', None), 'classes', None)
    if not classes:
        raise ValueError(f'{name}: the dataset has no classes; zero-shot classification needs a LabelDataset')
    twice = [class_name for class_name, count in Counter(classes).items() if count > 1]
    if twice:  # ties count against the model, so neither of two classes of one name could ever be right
        raise ValueError(f'{name}: class names must differ, {twice[:5]} stand for several classes; rename them')
    return list(classes)


def _label(sample: VLDataSample, classes: Sequence[str], name: str) -> int:
    label = sample.get('label')
    if label is None:
        raise ValueError(f'{name}: sample {sample.sample_id!r} has no label; use a LabelDataset')
    if not 0 <= label < len(classes):
        raise ValueError(f'{name}: sample {sample.sample_id!r} has label {label}, but there are {len(classes)} classes')
    return int(label)


def _predictions(rows: Sequence[dict[str, Any]], scores: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    predictions = []
    for row, of_row in zip(rows, scores):
        best = np.argsort(-of_row, kind='stable')[:SHOWN]
        prediction = {key: row[key] for key in ('sample_id', 'source', 'visual', 'modality')}
        prediction |= {'label': classes[row['label']], 'predicted': classes[best[0]]}
        prediction['scores'] = {classes[index]: float(of_row[index]) for index in best}
        predictions.append(prediction)
    return predictions
