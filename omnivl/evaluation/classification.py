"""Classification by a finetuned head."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Classifies, serving
from omnivl.registry import EVALUATIONS

from .base import Evaluation, EvaluationResult, batches, gather_rows
from .classes import check_top_k, class_result, class_rows, dataset_classes, mean_over_views


@EVALUATIONS.register_module()
class ClassificationEvaluation(Evaluation):
    """Scores the classes of each visual with the model's head; the probabilities of its views are averaged.

    Classes are ``dataloader.dataset.classes``. Metrics in percent: ``top1``, ``top5`` (all of ``top_k``) and
    ``per_class``, the mean of the top-1 accuracies of the classes that occur. Ties count against the model.

    Predictions have for each visual ``label``, ``predicted`` (both by name) and ``scores``: the five likeliest classes
    -> probability.

    Args:
        top_k: The k of the accuracies.
    """

    headline = ('top*',)

    def __init__(self, top_k: Sequence[int] = (1, 5)) -> None:
        self.top_k = check_top_k(top_k)

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
                'set model.num_classes, or classes_file of the annotations if a split lacks some'
            )
        rows: list[dict[str, Any]] = []
        for batch, samples in batches(model, dataloader, name):
            batch = batch.split_views()
            # In double precision, small probabilities that order the places after the first do not become equal.
            probabilities = classifies.classify(batch).double().softmax(dim=1).cpu().numpy()
            rows += class_rows(samples, batch, mean_over_views(probabilities, batch.views_in_row), classes, name)
        return class_result(gather_rows(rows, name), classes, self.top_k, name, 'classification', {})
