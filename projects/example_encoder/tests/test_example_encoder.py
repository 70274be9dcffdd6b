"""The encoder's laws, its weights, and a training step of its config."""

from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config

from omnivl.registry import MODELS
from omnivl.structures import VLBatch
from omnivl.weights import load_weights

ROOT = Path(__file__).parents[3]


@pytest.fixture
def model(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    config = Config.fromfile('projects/example_encoder/configs/demo_pretrain_image.py').model
    config.trunk.tokenizer.vocab_file = str(tmp_path / 'vocab.txt')
    Path(config.trunk.tokenizer.vocab_file).write_text(
        '\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', 'blue'])
    )
    torch.manual_seed(0)
    return MODELS.build(config)


def test_equal_frames_give_the_features_of_the_image(model):
    encoder = model.trunk.visual_encoder.eval()
    image = torch.randn(2, 1, 3, 64, 64)
    with torch.no_grad():
        expected = encoder(image, 'image')
        got = encoder(image.expand(-1, 5, -1, -1, -1), 'video')
    assert expected.tokens.shape == (2, 1 + 4 * 4, model.trunk.visual_encoder.width)
    assert torch.allclose(got.tokens, expected.tokens, atol=1e-5)


def test_the_config_trains(model):
    ids = torch.tensor([[2, 5, 3], [2, 6, 3]])
    images = {'image': torch.randn(2, 1, 3, 64, 64)}
    losses = model.loss(VLBatch(images, text_ids=ids, text_mask=ids > 0, target_ids=torch.tensor([0, 1])))
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(p.grad is not None for p in model.trunk.visual_encoder.proj.parameters())


@pytest.fixture
def classifier(tmp_path):
    """A timm classifier of the config's size, and the file that it was saved to."""
    torch.manual_seed(1)
    options = Config.fromfile('projects/example_encoder/configs/demo_pretrain_image.py').model.trunk.visual_encoder
    network = timm.create_model(options.backbone, pretrained=False, **options.options).eval()
    torch.save(network.state_dict(), tmp_path / 'convnext.pth')
    return network, tmp_path / 'convnext.pth'


def test_timms_weights_give_timms_features(model, classifier):
    network, file = classifier
    source = Config.fromfile('projects/example_encoder/configs/demo_pretrain_image_from_timm.py').load_from
    (report,) = load_weights(model, dict(source, file=str(file)))
    assert {key.split('.')[1] for key in report.left} == {'proj', 'norm'}
    assert all(key.startswith('head.') for key in report.unused)
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network.forward_intermediates(pixels, intermediates_only=True)
        got = model.trunk.visual_encoder.eval().backbone(pixels)
    assert len(got) == len(expected) and all(torch.equal(*maps) for maps in zip(got, expected))
    average = model.momentum_encoder.averages['visual_encoder'].backbone.stem_0.weight
    assert torch.equal(average, network.stem[0].weight)


def test_weights_of_another_backbone_are_refused(model, tmp_path):
    torch.save(timm.create_model('resnet10t', pretrained=False).state_dict(), tmp_path / 'resnet.pth')
    with pytest.raises(ValueError, match=r'does not fit TimmBackboneReader|keys without a place in the model'):
        load_weights(model, dict(type='TimmBackboneReader', file=str(tmp_path / 'resnet.pth')))
