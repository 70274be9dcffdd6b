"""Logistic regression against scikit-learn, its gradient against automatic differentiation, and in parts."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from omnivl.evaluation import logistic
from omnivl.evaluation.logistic import LinearClassifier, count_correct, fit_logistic


def clusters(rows=300, width=12, classes=4, seed=0, spread=0.6):
    """Overlapping classes around random centres, away from zero."""
    rng = np.random.default_rng(seed)
    centres = spread * rng.standard_normal((classes, width)) + 2
    labels = rng.integers(classes, size=rows)
    return torch.from_numpy(centres[labels] + rng.standard_normal((rows, width))), torch.from_numpy(labels)


@pytest.mark.parametrize('strength', [0.1, 1.0, 30.0])
def test_equal_to_scikit_learn(strength):
    features, labels = clusters()
    ours = fit_logistic(features, labels, 4, strength, tolerance=1e-9)
    theirs = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=10000).fit(features.numpy(), labels.numpy())
    np.testing.assert_allclose(ours.weight.numpy(), theirs.coef_, atol=1e-4)
    # Biases are the same up to one constant for all classes.
    biases = ours.bias.numpy() - ours.bias.numpy().mean(), theirs.intercept_ - theirs.intercept_.mean()
    np.testing.assert_allclose(*biases, atol=1e-3)
    probabilities = ours(features).softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, theirs.predict_proba(features.numpy()), atol=1e-4)


def test_single_precision_predicts_the_same():
    features, labels = clusters()
    classifier = fit_logistic(features.float(), labels, 4, 1.0)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10000).fit(features.numpy(), labels.numpy())
    assert classifier(features.float()).dtype == torch.float32
    np.testing.assert_allclose(classifier(features).softmax(dim=1), theirs.predict_proba(features.numpy()), atol=5e-3)


def test_a_class_that_is_missing_and_a_single_row():
    features, labels = clusters(classes=3)
    labels[labels == 1] = 0
    classifier = fit_logistic(features, labels, 3, 1.0)
    assert count_correct(features, labels, classifier) > 250
    assert not (classifier(features).argmax(dim=1) == 1).any()
    one = fit_logistic(features[:1], torch.tensor([2]), 3, 1.0)
    assert one(features[:1]).argmax() == 2


def test_gradient_is_that_of_automatic_differentiation(monkeypatch):
    features, labels = clusters()
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 12, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(features @ weight.T + bias, labels, reduction='sum')
    expected.backward()
    for part in (4 * 7, logistic.PART):  # seven rows at a time, all at once
        monkeypatch.setattr(logistic, 'PART', part)
        classifier = LinearClassifier(weight.detach(), bias.detach())
        loss, gradient = logistic._loss_and_gradient(features, labels, classifier)
        assert loss.item() == pytest.approx(expected.item())
        torch.testing.assert_close(gradient, torch.cat([weight.grad.flatten(), bias.grad]))


def test_memory_is_bounded_by_the_part(monkeypatch):
    """Logits of more rows than fit into a part are never made."""
    monkeypatch.setattr(logistic, 'PART', 40)
    made = []
    call = LinearClassifier.__call__
    monkeypatch.setattr(LinearClassifier, '__call__', lambda self, x: made.append(len(x)) or call(self, x))
    features, labels = clusters()
    classifier = fit_logistic(features, labels, 4, 1.0, max_iter=3)
    count_correct(features, labels, classifier)
    assert max(made) == 10


def test_a_start_at_the_solution_ends_there():
    features, labels = clusters()
    solution = fit_logistic(features, labels, 4, 1.0, tolerance=1e-9)
    again = fit_logistic(features, labels, 4, 1.0, start=solution, tolerance=1e-6)
    assert torch.equal(again.weight, solution.weight) and torch.equal(again.bias, solution.bias)


def test_stronger_is_smaller():
    features, labels = clusters()
    norms = [fit_logistic(features, labels, 4, strength).weight.norm() for strength in (0.01, 1.0, 100.0, 1e4)]
    assert norms == sorted(norms, reverse=True)
