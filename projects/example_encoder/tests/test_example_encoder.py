"""The encoder's laws, and a training step of its config."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from omnivl.registry import MODELS
from omnivl.structures import VLBatch

ROOT = Path(__file__).parents[3]


@pytest.fixture
def model(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    config = Config.fromfile('projects/example_encoder/configs/demo_pretrain_image.py').model
    config.tokenizer.vocab_file = str(tmp_path / 'vocab.txt')
    Path(config.tokenizer.vocab_file).write_text(
        '\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', 'blue'])
    )
    torch.manual_seed(0)
    return MODELS.build(config)


def test_equal_frames_give_the_features_of_the_image(model):
    encoder = model.visual_encoder.eval()
    image = torch.randn(2, 1, 3, 64, 64)
    with torch.no_grad():
        expected = encoder(image, 'image')
        got = encoder(image.expand(-1, 5, -1, -1, -1), 'video')
    assert expected.tokens.shape == (2, 1 + 4 * 4, model.visual_encoder.width)
    assert torch.allclose(got.tokens, expected.tokens, atol=1e-5)


def test_the_config_trains(model):
    ids = torch.tensor([[2, 5, 3], [2, 6, 3]])
    images = {'image': torch.randn(2, 1, 3, 64, 64)}
    losses = model.loss(VLBatch(images, text_ids=ids, text_mask=ids > 0, target_ids=torch.tensor([0, 1])))
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(p.grad is not None for p in model.visual_encoder.proj.parameters())
