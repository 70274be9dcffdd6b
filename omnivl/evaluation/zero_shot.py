"""Classification by prompts: the class whose sentences are most similar to the visual."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from omnivl.datasets.prompts import fill_prompt, get_templates
from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Contrasts, serving
from omnivl.registry import EVALUATIONS

from .base import Evaluation, EvaluationResult, batches, gather_rows
from .classes import check_top_k, class_result, class_rows, dataset_classes, mean_over_views
from .texts import encode_texts, to_numpy


@EVALUATIONS.register_module()
class ZeroShotEvaluation(Evaluation):
    """Compares each visual with every class, a class being the mean of its prompts' unit vectors, of unit length again.

    Classes are ``dataloader.dataset.classes``. Metrics in percent: ``top1``, ``top5`` (all of ``top_k``) and
    ``per_class``, the mean of the top-1 accuracies of the classes that occur. Ties count against the model. The
    similarities of several views are averaged.

    Predictions have for each visual ``label``, ``predicted`` (both by name) and ``scores``: the five most similar
    classes -> cosine similarity.

    Args:
        templates: A name of ``omnivl/datasets/prompts.py``, or sentences with ``{}`` for the class name.
        top_k: The k of the accuracies.
        text_batch: Prompts per forward pass of the text encoder.
    """

    headline = ('top*',)

    def __init__(self, templates: str | Sequence[str], top_k: Sequence[int] = (1, 5), text_batch: int = 256) -> None:
        if text_batch < 1:
            raise OmniVLValueError(f'text_batch must be at least 1, got {text_batch}')
        self.templates = get_templates(templates)
        self.top_k = check_top_k(top_k)
        self.text_batch = text_batch

    @property
    def needs(self) -> tuple[type, ...]:
        """A model with a shared space."""
        return (Contrasts,)

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Encode prompts and visuals once."""
        classes = dataset_classes(dataloader, name, 'zero-shot classification')
        dataset: Any = getattr(dataloader, 'dataset', None)
        _check_names(dataset.classes, name)
        class_features = self.class_features(model, dataset, name)
        contrasts = serving(model, Contrasts, name)
        rows: list[dict[str, Any]] = []
        for batch, samples in batches(model, dataloader, name):
            batch = batch.split_views()
            vectors = contrasts.project_visual(contrasts.encode(batch).pooled, batch.modality)
            scores = mean_over_views(to_numpy(vectors) @ class_features.T, batch.views_in_row)
            rows += class_rows(samples, batch, scores, classes, name)
        protocol = dict(templates=list(self.templates))
        return class_result(gather_rows(rows, name), classes, self.top_k, name, 'zero_shot', protocol)

    def class_features(self, model: nn.Module, dataset: Any, name: str) -> np.ndarray:
        """Make one unit vector per class, from all its prompts; float32 (C, E).

        The prompts go through the text part of the dataset's pipeline, as those of training did: a full stop that
        training never saw costs half of the accuracy.
        """
        prompts = [fill_prompt(template, class_name) for class_name in dataset.classes for template in self.templates]
        features = encode_texts(model, [dataset.tokenize(prompt) for prompt in prompts], self.text_batch, name)
        means = features.reshape(len(dataset.classes), len(self.templates), -1).mean(axis=1)
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def _check_names(classes: Sequence[str], name: str) -> None:
    twice = [class_name for class_name, count in Counter(classes).items() if count > 1]
    if twice:  # ties count against the model, so neither of two classes of one name could ever be right
        raise OmniVLValueError(f'{name}: class names must differ, {twice[:5]} stand for several classes; rename them')
