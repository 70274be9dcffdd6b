"""Zero-shot classification by hand, and its odd cases."""

import numpy as np
import pytest
from evaluation_fakes import FakeModel, Loader, loader, sample

from omnivl.datasets.broken import BrokenVisual, attach_broken
from omnivl.evaluation import ZeroShotEvaluation, base

CLASSES = ['w0', 'w1', 'w2']
# Words 3 and 4 are the words of the templates.
TEXTS = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0, 0], [0, 0.5, 0]])


def labelled(labels):
    return [sample(number, ['w0'], label=label) for number, label in enumerate(labels)]


def run(visuals, labels, templates=('{}',), classes=CLASSES, **options):
    data = Loader(loader(labelled(labels)), classes)
    return ZeroShotEvaluation(templates=templates, **options).run(FakeModel(visuals, TEXTS), data, 'image.zero_shot')


def test_by_hand():
    visuals = [[1, 0.2, 0.1], [0.2, 1, 0.1], [0.3, 0.2, 0.1], [0.1, 0.2, 1]]
    result = run(visuals, [0, 0, 0, 2], top_k=(1, 2, 5))
    assert result.metrics == pytest.approx(
        {'top1': 75.0, 'top2': 100.0, 'top5': 100.0, 'per_class': (200 / 3 + 100) / 2}
    )
    assert result.chance == pytest.approx({'top1': 100 / 3, 'top2': 200 / 3, 'top5': 100.0, 'per_class': 100 / 3})
    assert [row['predicted'] for row in result.predictions] == ['w0', 'w1', 'w0', 'w2']
    assert [row['label'] for row in result.predictions] == ['w0', 'w0', 'w0', 'w2']
    assert list(result.predictions[1]['scores']) == ['w1', 'w0', 'w2']
    norm = np.linalg.norm(visuals[1])
    assert list(result.predictions[1]['scores'].values()) == pytest.approx([1 / norm, 0.2 / norm, 0.1 / norm])
    assert (result.protocol['classes'], result.protocol['classes_without_samples']) == (3, 1)
    assert result.protocol['templates'] == ['{}']


def test_a_class_is_the_normalised_mean_of_its_prompts():
    templates = ('w3 {}', '{} w4', '{}')
    evaluation = ZeroShotEvaluation(templates=templates, text_batch=2)
    features = evaluation.class_features(FakeModel(np.eye(3), TEXTS), Loader([], CLASSES).dataset, 'x')
    words = FakeModel(np.eye(3), TEXTS).text_features.numpy()
    for number in range(3):
        prompts = [words[3] + words[number], words[number] + words[4], words[number]]
        mean = np.mean([prompt / np.linalg.norm(prompt) for prompt in prompts], axis=0)
        np.testing.assert_allclose(features[number], mean / np.linalg.norm(mean), rtol=1e-6)


def test_ties_count_against_the_model():
    assert run(np.ones((3, 3)), [0, 1, 2]).metrics['top1'] == 0


def test_broken_files_are_named_counted_and_too_many_stop_it(monkeypatch):
    samples = labelled([0, 1, 2])
    attach_broken(samples[1], [BrokenVisual('fake', 'cut.jpg', 'truncated')])
    data = Loader(loader(samples), CLASSES)
    data.dataset.name, data.dataset.max_broken_share = 'fake', 0.01
    model = FakeModel(np.eye(3), TEXTS)
    evaluation = ZeroShotEvaluation(templates=['{}'])
    log = []
    monkeypatch.setattr(base, 'print_log', lambda message, **_: log.append(message))
    evaluation.run(model, data, 'image.zero_shot')
    assert 'image.zero_shot: broken file of fake: cut.jpg (truncated)' in log
    assert 'image.zero_shot: broken files: fake 1 of 3 (broken file 1)' in log
    data.dataset.max_broken_share = 0
    with pytest.raises(RuntimeError, match=r"'fake': 1 broken or missing files .*more than max_broken_share=0"):
        evaluation.run(model, data, 'image.zero_shot')


def test_one_visual():
    assert run([[1, 0, 0]], [0]).metrics == {'top1': 100.0, 'top5': 100.0, 'per_class': 100.0}


def test_templates_by_name():
    assert len(ZeroShotEvaluation(templates='actionclip').templates) == 16


def test_dataset_without_classes():
    with pytest.raises(
        ValueError, match='x: the dataset has no classes; zero-shot classification needs a LabelDataset'
    ):
        ZeroShotEvaluation(['{}']).run(FakeModel(np.eye(3), TEXTS), loader(labelled([0])), 'x')


def test_classes_of_one_name():
    with pytest.raises(ValueError, match=r"class names must differ, \['w0'\] stand for several classes"):
        run(np.eye(3), [0], classes=['w0', 'w1', 'w0'])


def test_sample_without_label():
    data = Loader(loader([sample(0, ['w0'])]), CLASSES)
    with pytest.raises(ValueError, match="x: sample '0' has no label; use a LabelDataset"):
        ZeroShotEvaluation(['{}']).run(FakeModel(np.eye(3), TEXTS), data, 'x')


def test_label_outside_the_classes():
    with pytest.raises(ValueError, match="sample '1' has label 3, but there are 3 classes"):
        run(np.eye(3), [0, 3])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'templates': 'nothing'}, "templates='nothing'; allowed are"),
        ({'templates': ['a photo']}, "template 'a photo' must have '{}' exactly once"),
        ({'templates': ['{}'], 'top_k': ()}, 'top_k must be numbers of at least 1'),
        ({'templates': ['{}'], 'text_batch': 0}, 'text_batch must be at least 1, got 0'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ZeroShotEvaluation(**options)
