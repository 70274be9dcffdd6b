"""The linear probe: against scikit-learn's whole procedure, who chooses the strength, and its errors."""

import numpy as np
import pytest
import torch
from evaluation_fakes import FakeModel, Loader, loader, sample
from sklearn.linear_model import LogisticRegression

from omnivl.evaluation import LinearProbeEvaluation
from omnivl.evaluation.linear_probe import held_out
from omnivl.structures import VisualFeatures

CLASSES = ['cat', 'dog', 'owl']


class Backbone(FakeModel):
    """The feature of a visual is looked up by its pixel; counts how often each is asked for."""

    def __init__(self, features):
        super().__init__(np.eye(3), np.eye(3))
        self.features = torch.as_tensor(features, dtype=torch.float32)
        self.asked = []

    def encode(self, batch):
        numbers = batch.frames[:, 0, 0, 0, 0].long()
        self.asked += numbers.tolist()
        return VisualFeatures(None, self.features[numbers])


def world(rows=260, spread=0.9, seed=0):
    """Features float32 (rows, 8) of three overlapping classes, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=rows)
    centres = spread * rng.standard_normal((3, 8)) + 1
    return (centres[labels] + rng.standard_normal((rows, 8))).astype(np.float32), labels


def data(labels, numbers, classes=CLASSES, **options):
    samples = [sample(number, [], label=int(labels[number]), **options) for number in numbers]
    return Loader(loader(samples, batch_size=40), classes)


def test_the_whole_against_scikit_learn():
    """Hold out, fit for each strength, take the best, fit on all, score: each step with scikit-learn."""
    features, labels = world()
    train, test = np.array(sorted(range(200), key=str)), np.arange(200, 260)  # held out by the order of the ids
    strengths = (0.01, 1.0, 100.0, 1e4)
    evaluation = LinearProbeEvaluation(data(labels, train), strengths=strengths, refinements=0)
    model = Backbone(features)
    result = evaluation.run(model, data(labels, test), 'probe')

    def fitted(strength, rows):
        return LogisticRegression(C=1 / strength, tol=1e-8, max_iter=10000).fit(features[rows], labels[rows])

    held = held_out(labels[train], 0.2, 0)
    found = {s: 100 * fitted(s, train[~held]).score(features[train[held]], labels[train[held]]) for s in strengths}
    assert result.protocol['held_out_top1'] == pytest.approx({f'{s:.3g}': value for s, value in found.items()})
    best = max(strengths, key=lambda s: (found[s], s))
    assert result.protocol['strength'] == best
    assert result.metrics['top1'] == pytest.approx(100 * fitted(best, train).score(features[test], labels[test]))
    assert result.metrics['top1'] > 70 and result.chance['top1'] == pytest.approx(100 / 3)
    assert (result.protocol['training_visuals'], result.protocol['held_out_visuals']) == (200, 40)
    assert (result.protocol['visuals'], result.protocol['task']) == (60, 'linear_probe')
    assert sorted(model.asked) == list(range(260)), 'each visual goes through the model once'


def test_refinement_halves_the_step_around_the_best():
    features, labels = world()
    evaluation = LinearProbeEvaluation(data(labels, range(200)), strengths=(1e-2, 1.0, 1e2), refinements=2)
    protocol = evaluation.run(Backbone(features), data(labels, range(200, 260)), 'probe').protocol
    tried = sorted(np.log10([float(key) for key in protocol['held_out_top1']]))
    assert len(tried) == 7 and {-2, 0, 2} <= set(np.round(tried, 2))
    assert np.abs(np.log10(protocol['strength']) - tried).min() < 1e-2
    assert np.diff(tried).min() == pytest.approx(0.5, abs=1e-2)


def test_a_validation_set_chooses_the_strength_and_trains_in_the_end():
    features, labels = world()
    train, val, test = range(120), range(120, 200), range(200, 260)
    evaluation = LinearProbeEvaluation(data(labels, train), val=data(labels, val), strengths=(1.0, 1e5), refinements=0)
    result = evaluation.run(Backbone(features), data(labels, test), 'probe')
    assert result.protocol['held_out_visuals'] == 80 and result.protocol['training_visuals'] == 200
    theirs = LogisticRegression(C=1 / result.protocol['strength'], tol=1e-8, max_iter=10000)
    theirs.fit(features[:200], labels[:200])
    assert result.metrics['top1'] == pytest.approx(100 * theirs.score(features[200:], labels[200:]))


def test_held_out_is_even_over_classes_seeded_and_of_the_right_size():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    drawn = held_out(labels, 0.2, seed=3)
    assert np.bincount(labels[drawn]).tolist() == [20, 10, 2]
    assert np.array_equal(drawn, held_out(labels, 0.2, seed=3))
    assert not np.array_equal(drawn, held_out(labels, 0.2, seed=4))
    assert held_out(np.zeros(9, dtype=np.int64), 0.5, 0).sum() == 4


def test_classes_missing_from_test_and_from_training():
    features, labels = world()
    train = [number for number in range(200) if labels[number] != 1]
    test = [number for number in range(200, 260) if labels[number] != 2]
    result = LinearProbeEvaluation(data(labels, train)).run(Backbone(features), data(labels, test), 'probe')
    assert result.protocol['classes_without_samples'] == 1
    assert result.metrics['per_class'] <= 50  # cats are found, dogs were never shown


def test_views_are_averaged():
    """A visual of two views has the mean of their features."""
    features, labels = world(rows=200)
    generator = np.random.default_rng(1)
    noise = generator.standard_normal(features.shape).astype(np.float32)
    model = Backbone(np.concatenate([features + noise, features - noise]))

    def viewed(numbers):
        samples = [sample(number, [], label=int(labels[number])) for number in numbers]
        for packed in samples:
            packed.set_metainfo(dict(num_views=2))
        pixels = torch.tensor([[number, number + 200] for number in numbers])
        inputs = pixels[:, :, None, None, None].expand(-1, -1, 3, 4, 6)
        return Loader([{'inputs': {samples[0].modality: inputs}, 'data_samples': samples}], CLASSES)

    options = dict(strengths=(10.0,), refinements=0)
    result = LinearProbeEvaluation(viewed(range(150)), **options).run(model, viewed(range(150, 200)), 'x')
    plain = LinearProbeEvaluation(data(labels, range(150)), **options)
    expected = plain.run(Backbone(features), data(labels, range(150, 200)), 'x')
    assert result.metrics == pytest.approx(expected.metrics)
    assert result.protocol['views'] == 2


def test_precision_of_the_fit_does_not_follow_the_autocast():
    features, labels = world()
    evaluation = LinearProbeEvaluation(data(labels, range(200)))
    expected = evaluation.run(Backbone(features), data(labels, range(200, 260)), 'x')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = evaluation.run(Backbone(features), data(labels, range(200, 260)), 'x')
    assert found.predictions == expected.predictions


def test_other_classes():
    features, labels = world()
    evaluation = LinearProbeEvaluation(data(labels, range(100), classes=['cat', 'hen', 'owl']))
    message = r"training set\): its 3 classes are not the 3 classes that are scored: 'hen' in place of 'dog'; does a"
    with pytest.raises(ValueError, match=message):
        evaluation.run(Backbone(features), data(labels, range(100, 150)), 'probe')


def test_an_empty_set():
    evaluation = LinearProbeEvaluation(Loader([], CLASSES))
    with pytest.raises(ValueError, match=r'training set\): every process needs samples, they have \[0\]'):
        evaluation.run(Backbone(np.eye(3)), Loader([], CLASSES), 'probe')


def test_too_little_to_hold_out():
    features, labels = world()
    evaluation = LinearProbeEvaluation(data(labels, range(4)))
    with pytest.raises(ValueError, match=r'holdout=0\.2 of 4 visuals leaves 0 to choose the strength by and 4 to'):
        evaluation.run(Backbone(features), data(labels, range(100, 150)), 'probe')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'holdout': 1.0}, 'holdout is a share of the training set between 0 and 1, got 1.0'),
        ({'strengths': ()}, r'strengths must be numbers above 0, got \(\)'),
        ({'strengths': (1.0, 0.0)}, 'strengths must be numbers above 0'),
        ({'refinements': -1}, 'refinements must be at least 0 and max_iter 1, got -1 and 1000'),
        ({'max_iter': 0}, 'refinements must be at least 0 and max_iter 1, got 4 and 0'),
        ({'top_k': ()}, 'top_k must be numbers of at least 1'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        LinearProbeEvaluation(train=None, **options)
