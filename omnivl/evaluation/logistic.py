"""Multinomial logistic regression by L-BFGS, in parts that fit the memory, over rows that may lie on several ranks.

Beside the legend of ``omnivl/structures/batch.py``: n rows of this rank, C classes, D width of the features.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from mmengine.dist import all_reduce
from torch import Tensor

PART = 2**26  # logits at a time: 0.25 GB in single precision, of which three are alive
HISTORY = 10  # of L-BFGS


class LinearClassifier(NamedTuple):
    """Classes as linear functions of features.

    Attributes:
        weight: float64 (C, D).
        bias: float64 (C,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return logits (n, C) of features (n, D), in the precision of these."""
        return torch.addmm(self.bias.to(features.dtype), features, self.weight.to(features.dtype).T)


def fit_logistic(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    strength: float,
    start: LinearClassifier | None = None,
    max_iter: int = 1000,
    tolerance: float = 1e-6,
) -> LinearClassifier:
    """Minimise the cross-entropy, summed over all rows of all ranks, plus ``strength / 2 * (weight ** 2).sum()``.

    This is scikit-learn's ``LogisticRegression(C=1 / strength)``: the bias costs nothing, and the sum, not the mean, is
    weighed against the penalty. Every rank finds the same, since all see the sums over all ranks.

    Args:
        features: Of this rank; float (n, D).
        labels: int64 (n,).
        num_classes: C.
        strength: Of the penalty, above 0.
        start: Where to begin; None = zero.
        max_iter: Most iterations.
        tolerance: Ends where no component of the gradient of the mean loss is larger.

    Returns:
        The classifier.
    """
    shape = num_classes, features.shape[1]
    variables = features.new_zeros(shape[0] * (shape[1] + 1), dtype=torch.float64)
    if start is not None:
        variables.copy_(torch.cat([start.weight.flatten(), start.bias]))
    rows = torch.tensor(float(len(features)), dtype=torch.float64, device=features.device)
    all_reduce(rows)
    optimizer = torch.optim.LBFGS(
        [variables],
        max_iter=max_iter,
        tolerance_grad=tolerance,
        tolerance_change=1e-12,
        history_size=HISTORY,
        line_search_fn='strong_wolfe',
    )

    def closure() -> Tensor:
        """Return the objective and leave its gradient for L-BFGS."""
        classifier = _unflatten(variables, shape)
        loss, gradient = _loss_and_gradient(features, labels, classifier)
        loss += strength / 2 * classifier.weight.square().sum()
        gradient[: classifier.weight.numel()] += strength * classifier.weight.flatten()
        variables.grad = gradient / rows
        return loss / rows

    optimizer.step(closure)
    return _unflatten(variables, shape)


def count_correct(features: Tensor, labels: Tensor, classifier: LinearClassifier) -> int:
    """Count the rows, of all ranks, whose class has the highest logit."""
    correct = torch.zeros((), dtype=torch.int64, device=features.device)
    for part, truth in _parts(features, labels, len(classifier.bias)):
        correct += (classifier(part).argmax(dim=1) == truth).sum()
    all_reduce(correct)
    return int(correct)


def _unflatten(variables: Tensor, shape: tuple[int, int]) -> LinearClassifier:
    """View the weight and the bias in one vector, float64 (C * D + C,)."""
    return LinearClassifier(variables[: shape[0] * shape[1]].view(shape), variables[shape[0] * shape[1] :])


def _loss_and_gradient(features: Tensor, labels: Tensor, classifier: LinearClassifier) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy summed over the rows of all ranks, and its gradient, float64 (C * D + C,).

    The gradient is written out, (p - y) x: automatic differentiation would keep the logits of all parts.
    """
    sizes = [1, classifier.weight.numel(), len(classifier.bias)]
    sums = torch.zeros(sum(sizes), dtype=torch.float64, device=features.device)
    loss, of_weight, of_bias = sums.split(sizes)
    for part, truth in _parts(features, labels, len(classifier.bias)):
        log_probability = classifier(part).log_softmax(dim=1)
        loss -= log_probability.gather(1, truth[:, None]).sum()
        error = log_probability.exp_()
        error.scatter_add_(1, truth[:, None], error.new_full((len(truth), 1), -1.0))
        of_weight += (error.T @ part).flatten()
        of_bias += error.sum(dim=0)
    all_reduce(sums)
    return sums[0], sums[1:]


def _parts(features: Tensor, labels: Tensor, num_classes: int) -> Iterator[tuple[Tensor, Tensor]]:
    rows = max(1, PART // num_classes)
    return zip(features.split(rows), labels.split(rows))
