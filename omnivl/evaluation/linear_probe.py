"""Linear probe: how well classes can be read off the features of a model that is not trained for them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import EVALUATIONS

from .base import Evaluation, EvaluationResult, batches, gather_rows
from .classes import check_top_k, class_result, class_rows, dataset_classes
from .features import Features, extract_features, pooled_features
from .logistic import LinearClassifier, count_correct, fit_logistic

STRENGTHS = (1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6)


@EVALUATIONS.register_module()
class LinearProbeEvaluation(Evaluation):
    """Trains a multinomial logistic regression on frozen features and scores it on the dataloader's set.

    The feature is the visual's [CLS] vector before its projection, averaged over views; each visual goes through the
    model once. L-BFGS then minimises the objective of scikit-learn's ``LogisticRegression``. Its penalty is chosen as
    CLIP's authors do (2103.00020, appendix A.3): by the top-1 accuracy of a part of the training set, first among
    ``strengths``, then twice as finely around the best of them, ``refinements`` times; of equals the strongest. The
    classifier that is scored is trained on all of it.

    The features of a rank stay on its device, at 4 bytes a number: 4 GB for ImageNet at a width of 768 on one GPU, and
    twice that for a moment. Logits are made in parts of 0.25 GB.

    Metrics and predictions are those of ``ClassificationEvaluation``, but for ``scores``, which are logits. The
    protocol has the strength, and what others reached.

    Args:
        train: Config of the loader of the training set, in the form of ``test_dataloader``'s entries.
        val: The same for a set that chooses the strength; None = a part of the training set does.
        holdout: That part: its share of each class, as nearly as that goes.
        strengths: Of the penalty, times half the sum of squared weights; weighed against the summed cross-entropy, so
            that scikit-learn's C is its inverse. CLIP's.
        refinements: Each halves the step between the strengths (4 in CLIP: 8 steps per power of ten).
        max_iter: Most iterations of L-BFGS (1000 in CLIP).
        seed: Of the choice of the held-out part.
        top_k: The k of the accuracies.
    """

    def __init__(
        self,
        train: Mapping[str, Any] | Iterable,
        val: Mapping[str, Any] | Iterable | None = None,
        holdout: float = 0.2,
        strengths: Sequence[float] = STRENGTHS,
        refinements: int = 4,
        max_iter: int = 1000,
        seed: int = 0,
        top_k: Sequence[int] = (1, 5),
    ) -> None:
        if not 0 < holdout < 1:
            raise OmniVLValueError(f'holdout is a share of the training set between 0 and 1, got {holdout}')
        if not strengths or min(strengths) <= 0:
            raise OmniVLValueError(f'strengths must be numbers above 0, got {tuple(strengths)}')
        if refinements < 0 or max_iter < 1:
            raise OmniVLValueError(f'refinements must be at least 0 and max_iter 1, got {refinements} and {max_iter}')
        self.train = train
        self.val = val
        self.holdout = holdout
        self.strengths = tuple(sorted(strengths, reverse=True))
        self.refinements = refinements
        self.max_iter = max_iter
        self.seed = seed
        self.top_k = check_top_k(top_k)

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Extract features, choose the strength, fit and score.

        Sets of different classes, or too little that is left to train on, are an ``OmniVLValueError``.
        """
        classes = dataset_classes(dataloader, name, 'a linear probe')
        train, held = self._training_features(model, classes, name)
        protocol = dict(
            training_visuals=len(train.all_labels) + len(held.all_labels),
            held_out_visuals=len(held.all_labels),
            training_annotations=train.annotations if self.val is None else train.annotations + held.annotations,
        )
        with torch.autocast(train.vectors.device.type, enabled=False):
            # The bias costs nothing, so this changes no solution; it makes the way there shorter.
            centre = _mean(train.vectors)
            for part in (train, held):
                part.vectors.sub_(centre)
            strength, accuracies = self._sweep(train, held, len(classes), name)
            classifier = self._fit(_joined(train, held), strength, len(classes))
        rows: list[dict[str, Any]] = []
        for batch, samples in batches(model, dataloader, name):
            batch = batch.split_views()
            vectors = pooled_features(model, batch) - centre
            with torch.autocast(centre.device.type, enabled=False):
                logits = classifier(vectors).cpu().numpy()
            rows += class_rows(samples, batch, logits, classes, name)
        tried = {f'{key:.3g}': value for key, value in sorted(accuracies.items())}
        protocol |= dict(strength=strength, held_out_top1=tried)
        return class_result(gather_rows(rows, name), classes, self.top_k, name, 'linear_probe', protocol)

    def _training_features(self, model: nn.Module, classes: Sequence[str], name: str) -> tuple[Features, Features]:
        """Return the features to train on while the strength is chosen, and those that choose it."""
        train = extract_features(model, self.train, classes, f'{name} (training set)')
        if self.val is not None:
            return train, extract_features(model, self.val, classes, f'{name} (validation set)')
        keys = sorted(train.all_labels)  # the same on any number of ranks
        chosen = held_out(np.array([train.all_labels[key] for key in keys]), self.holdout, self.seed)
        if not 0 < chosen.sum() < len(keys):
            raise OmniVLValueError(
                f'{name}: holdout={self.holdout} of {len(keys)} visuals leaves {chosen.sum()} to choose the strength '
                f'by and {len(keys) - chosen.sum()} to train on: give another share, or a val'
            )
        is_held = dict(zip(keys, chosen.tolist()))
        return _select(train, is_held, False), _select(train, is_held, True)

    def _sweep(self, train: Features, held: Features, num_classes: int, name: str) -> tuple[float, dict[float, float]]:
        """Find the strength that is best on the held-out part, and the accuracy of each that was tried, in percent."""
        accuracies: dict[float, float] = {}
        classifier = None
        tried = self.strengths
        step = (tried[0] / tried[1]) ** 0.5 if len(tried) > 1 else 1.0
        for _ in range(1 + self.refinements):
            for strength in tried:  # the strongest first: each begins where the one before it ended
                classifier = self._fit(train, strength, num_classes, classifier)
                correct = count_correct(held.vectors, held.labels, classifier)
                accuracies[strength] = 100.0 * correct / len(held.all_labels)
            best = max(accuracies, key=lambda strength: (accuracies[strength], strength))
            tried = (best * step, best / step) if len(self.strengths) > 1 else ()
            step = step**0.5
        message = f'{name}: strength {best:.3g} of {len(accuracies)}, {accuracies[best]:.1f} % of the held-out part'
        print_log(message, logger='current')
        return best, accuracies

    def _fit(
        self, features: Features, strength: float, num_classes: int, start: LinearClassifier | None = None
    ) -> LinearClassifier:
        return fit_logistic(features.vectors, features.labels, num_classes, strength, start, self.max_iter)


def held_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Draw a share of the samples, n * share rounded down, spread evenly over the classes ``labels``, int64 (n,).

    Return which samples are drawn; bool (n,).
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind='stable')]
    drawn = np.zeros(len(labels), dtype=bool)
    drawn[order] = np.diff(np.floor(share * np.arange(len(labels) + 1))) > 0
    return drawn


def _select(features: Features, is_held: Mapping[tuple[str, str], bool], held: bool) -> Features:
    mine = [place for place, key in enumerate(features.keys) if is_held[key] == held]
    return Features(
        features.vectors[mine],
        features.labels[mine],
        [features.keys[place] for place in mine],
        {key: label for key, label in features.all_labels.items() if is_held[key] == held},
        features.annotations,
    )


def _joined(train: Features, held: Features) -> Features:
    vectors, labels = torch.cat([train.vectors, held.vectors]), torch.cat([train.labels, held.labels])
    return train._replace(vectors=vectors, labels=labels)


def _mean(vectors: Tensor) -> Tensor:
    """Average the rows of all ranks, (n, D) to (D,)."""
    sums = torch.cat([vectors.sum(dim=0, dtype=torch.float64), vectors.new_tensor([len(vectors)], dtype=torch.float64)])
    all_reduce(sums)
    return (sums[:-1] / sums[-1]).to(vectors.dtype)
