"""The classifier: the loss by hand, what is trained, whose weights fit, and labels on their way to it."""

import math
from dataclasses import replace

import pytest
import torch

from omnivl.models import VLDataPreprocessor
from omnivl.structures import VLBatch, VLDataSample
from omnivl.weights import StageReader


@pytest.fixture
def classifier(tiny_model):
    def make(num_classes=3, **options):
        return tiny_model(type='OmniVLClassifier', num_classes=num_classes, shake=True, **options)

    return make


def labelled(batch, labels):
    return replace(batch, labels=torch.tensor(labels))


def test_loss_by_hand(classifier, random_batch):
    model = classifier(label_smoothing=0.2).eval()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
    loss = model.loss(labelled(random_batch(2), [0, 2]))['loss_class'].item()
    even = (math.log(0.5) + math.log(0.3) + math.log(0.2)) / 3
    assert loss == pytest.approx(-(0.8 * (math.log(0.5) + math.log(0.2)) / 2 + 0.2 * even))


@pytest.mark.parametrize('modality', ['image', 'video'])
def test_only_the_visual_encoder_and_the_head_are_trained(classifier, random_batch, modality):
    model = classifier()
    model.loss(labelled(random_batch(modality=modality), [0, 1, 2, 0]))['loss_class'].backward()
    trained = {name.split('.')[0] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {'trunk', 'head'} and set(model.parts) == {'visual_encoder', 'head'}
    assert all(p.requires_grad for p in model.parameters())


def test_it_learns_what_it_is_shown(classifier, random_batch):
    model = classifier(num_classes=4)
    batch = labelled(random_batch(), [3, 1, 0, 2])
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        model.loss(batch)['loss_class'].backward()
        optimizer.step()
    samples = model.eval().predict(batch, [VLDataSample() for _ in range(4)])
    assert [sample.pred_label for sample in samples] == [3, 1, 0, 2]
    assert torch.stack([sample.pred_scores for sample in samples]).sum(dim=1).numpy() == pytest.approx(1, abs=1e-5)


def test_dropout_in_training_only(classifier, random_batch):
    model = classifier(dropout=0.5)
    batch = random_batch()
    assert not torch.equal(model.classify(batch), model.classify(batch))
    model.eval()
    assert torch.equal(model.classify(batch), model.classify(batch))


def test_first_predictions_are_nearly_even(tiny_model, random_batch):
    model = tiny_model(type='OmniVLClassifier', num_classes=5).eval()
    assert model.classify(random_batch()).softmax(dim=1).detach().numpy() == pytest.approx(0.2, abs=0.05)


def test_starts_from_pretraining_and_from_a_head_for_other_classes(classifier, tiny_model, tmp_path):
    pretrained, other = tiny_model(shake=True, seed=1), classifier(num_classes=7, seed=2)
    for source in (pretrained, other):
        torch.save({'state_dict': source.state_dict()}, tmp_path / 'start.pth')
        model = classifier()
        head = model.head.weight.clone()
        reader = StageReader(str(tmp_path / 'start.pth'), start_video_from_image=False)
        report = reader.load(model)
        assert {key.split('.')[0] for key in report.left + report.elsewhere} == {'head'}
        assert not any('visual_encoder' in key for key in report.unused)  # the parts that a classifier does not hold
        assert torch.equal(model.head.weight, head)
        for name, value in model.trunk.visual_encoder.state_dict().items():
            assert torch.equal(value, source.trunk.visual_encoder.state_dict()[name])


def test_a_head_of_the_same_size_is_kept(classifier):
    source, model = classifier(seed=1), classifier(seed=2)
    weights = dict(source.state_dict())
    model.adapt_state_dict(weights)
    model.load_state_dict(weights)
    assert torch.equal(model.head.weight, source.head.weight)


def test_labels_reach_the_batch():
    def batch_of(*fields):
        samples = [VLDataSample(metainfo=dict(modality='image')) for _ in fields]
        for sample, own in zip(samples, fields):
            for key, value in own.items():
                setattr(sample, key, value)
        inputs = torch.zeros(len(fields), 1, 3, 4, 4, dtype=torch.uint8)
        return VLDataPreprocessor()(dict(inputs={'image': inputs}, data_samples=samples))['batch']

    labels = batch_of({'label': 2}, {'label': 0}).labels
    assert labels.dtype == torch.int64 and labels.tolist() == [2, 0]
    # A mixture of captions and classes, as pretraining has, is no error.
    assert batch_of({'label': 2}, {}).labels is None


@pytest.mark.parametrize('views', [1, 2, 3])
def test_views_reach_the_batch(views):
    samples = [VLDataSample(metainfo=dict(modality='video', num_views=views)) for _ in range(2)]
    inputs = torch.zeros(2, 6, 3, 4, 4, dtype=torch.uint8)
    batch = VLDataPreprocessor()(dict(inputs={'video': inputs}, data_samples=samples))['batch']
    assert batch.num_views == views and batch.frames.shape == (2, 6, 3, 4, 4)


@pytest.mark.parametrize('counts', [(2, 3), (4, 4)])
def test_frames_that_cannot_be_dealt_out_to_views(counts):
    samples = [VLDataSample(metainfo=dict(modality='video', num_views=views)) for views in counts]
    inputs = torch.zeros(2, 6, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(
        ValueError, match=r'\[6\] frames cannot be dealt out to .* views: all visuals of a batch need as'
    ):
        VLDataPreprocessor()(dict(inputs={'video': inputs}, data_samples=samples))


def test_samples_without_a_label(classifier, random_batch):
    with pytest.raises(ValueError, match='the batch has samples without a label: train on LabelDatasets'):
        classifier().loss(random_batch())


def test_a_label_outside_the_classes(classifier, random_batch):
    with pytest.raises(ValueError, match=r'label 3 is not one of the 3 classes 0\.\.2: set model\.num_classes'):
        classifier().loss(labelled(random_batch(), [0, 3, 1, 2]))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_classes': 1}, 'num_classes must be at least 2, got 1'),
        ({'label_smoothing': 1.0}, r'label_smoothing must be in \[0, 1\), got 1.0'),
        ({'dropout': -0.1}, r'dropout must be in \[0, 1\), got -0.1'),
    ],
)
def test_options_out_of_range(classifier, options, message):
    with pytest.raises(ValueError, match=message):
        classifier(**options)


def test_a_batch_without_text_is_enough(classifier, random_batch):
    batch = random_batch()
    bare = VLBatch(batch.inputs, labels=torch.tensor([0, 1, 2, 0]))
    assert torch.isfinite(classifier().loss(bare)['loss_class'])
