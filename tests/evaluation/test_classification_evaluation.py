"""Evaluation of a classifier's head by hand: views, classes that are missing, ties, and its errors."""

import numpy as np
import pytest
import torch
from evaluation_fakes import FakeModel, Loader, loader, sample

from omnivl.evaluation import ClassificationEvaluation, ZeroShotEvaluation

CLASSES = ['cat', 'dog', 'owl']


class FakeClassifier(FakeModel):
    """The logits of a view are looked up by its first pixel."""

    def __init__(self, logits):
        super().__init__(np.eye(3), np.eye(3))
        self.logits = torch.as_tensor(logits, dtype=torch.float32)
        self.num_classes = self.logits.shape[1]

    def classify(self, batch):
        assert (batch.frames == batch.frames[:, :1, :1, :1, :1]).all(), 'frames of different views in one'
        return self.logits[batch.frames[:, 0, 0, 0, 0].long()]


def run(logits, labels, classes=CLASSES, **options):
    samples = [sample(number, [], label=label) for number, label in enumerate(labels)]
    return ClassificationEvaluation(**options).run(FakeClassifier(logits), Loader(loader(samples), classes), 'x')


def viewed(numbers, labels, frames, modality='video'):
    """A batch of clips, each with several views of ``frames`` frames; a view's pixels hold its number."""
    samples = [sample(index, [], modality, label=label) for index, label in enumerate(labels)]
    for packed, views in zip(samples, numbers):
        packed.set_metainfo(dict(num_views=len(views)))
    pixels = torch.tensor(numbers).repeat_interleave(frames, dim=1)
    inputs = pixels[:, :, None, None, None].expand(-1, -1, 3, 4, 6)
    return [{'inputs': {modality: inputs}, 'data_samples': samples}]


def test_by_hand_with_a_class_missing():
    result = run([[3, 1, 0], [0, 1, 3], [2, 1, 0], [0, 3, 2]], [0, 2, 2, 2], top_k=(1, 2, 5))
    assert result.metrics == pytest.approx({'top1': 50, 'top2': 75, 'top5': 100, 'per_class': (100 + 100 / 3) / 2})
    assert result.chance == pytest.approx({'top1': 100 / 3, 'top2': 200 / 3, 'top5': 100, 'per_class': 100 / 3})
    assert [row['predicted'] for row in result.predictions] == ['cat', 'owl', 'cat', 'dog']
    assert [row['label'] for row in result.predictions] == ['cat', 'owl', 'owl', 'owl']
    assert result.predictions[1]['scores'] == pytest.approx(
        dict(zip(['owl', 'dog', 'cat'], np.exp([3, 1, 0]) / np.exp([3, 1, 0]).sum()))
    )
    assert (result.protocol['classes'], result.protocol['classes_without_samples']) == (3, 1)
    assert (result.protocol['visuals'], result.protocol['views'], result.protocol['frames']) == (4, 1, 2)


def test_probabilities_of_views_are_averaged_not_logits():
    # Two views vote firmly for owl, the third overwhelmingly for cat: the mean logit says cat, the mean vote owl.
    logits = [[0, 0, 5], [0, 0, 5], [50, 0, 0], [0, 5, 0]]
    data = Loader(viewed([[0, 1, 2], [3, 3, 0]], [2, 1], frames=4), CLASSES)
    result = ClassificationEvaluation().run(FakeClassifier(logits), data, 'x')
    assert [row['predicted'] for row in result.predictions] == ['owl', 'dog']
    expected = (2 * np.exp(5) / (np.exp(5) + 2) + 0) / 3
    assert result.predictions[0]['scores']['owl'] == pytest.approx(expected)
    assert (result.protocol['views'], result.protocol['frames']) == (3, 4)


def test_views_of_zero_shot_are_averaged():
    data = Loader(viewed([[0, 1], [2, 2]], [1, 2], frames=2), ['w0', 'w1', 'w2'])
    visuals = [[0.6, 0.8, 0], [0, 1, 0], [0, 0, 1]]
    result = ZeroShotEvaluation(['{}']).run(FakeModel(visuals, np.eye(3)), data, 'x')
    assert result.predictions[0]['scores'] == pytest.approx({'w1': 0.9, 'w0': 0.3, 'w2': 0.0})
    assert result.protocol['views'] == 2


def test_ties_count_against_the_model():
    assert run(np.zeros((3, 3)), [0, 1, 2]).metrics['top1'] == 0


def test_tiny_probabilities_keep_their_order():
    result = run([[200, -50, -60]], [1], top_k=(2,))
    assert result.metrics['top2'] == 100


def test_classes_of_one_name_stay_apart():
    result = run(np.eye(3), [0, 1, 2], classes=['crane', 'dog', 'crane'])
    assert [row['predicted'] for row in result.predictions] == ['crane (0)', 'dog', 'crane (2)']


def test_a_model_without_a_head():
    with pytest.raises(TypeError, match=r'which this FakeModel does not: it has no classify, num_classes'):
        ClassificationEvaluation().run(FakeModel(np.eye(3), np.eye(3)), Loader([], CLASSES), 'x')


def test_a_head_for_another_number_of_classes():
    with pytest.raises(ValueError, match=r'a head for 2 classes, the dataset has 3: set model\.num_classes'):
        run(np.zeros((1, 2)), [0])


def test_a_dataset_without_classes():
    with pytest.raises(ValueError, match='x: the dataset has no classes; classification needs a LabelDataset'):
        ClassificationEvaluation().run(FakeClassifier(np.eye(3)), loader([sample(0, [], label=0)]), 'x')


def test_no_k():
    with pytest.raises(ValueError, match='top_k must be numbers of at least 1'):
        ClassificationEvaluation(top_k=(0,))
