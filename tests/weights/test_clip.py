"""CLIP's vision tower of Hugging Face."""

import pytest
import torch
from foreign import images, omnivl, shaken
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

from omnivl.weights import load_weights

TOWER = dict(
    hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
)
ENCODER = dict(pre_norm=True, activation='quick_gelu', norm_eps=1e-5)


def clip(kind, seed):
    torch.manual_seed(seed)
    if kind is CLIPModel:
        text = {key: value for key, value in TOWER.items() if key not in ('image_size', 'patch_size')}
        config = CLIPConfig(vision_config=TOWER, text_config=dict(text, vocab_size=20))
    else:
        config = CLIPVisionConfig(**TOWER)
    return shaken(kind(config), seed)


@pytest.mark.parametrize('kind', [CLIPModel, CLIPVisionModel, CLIPVisionModelWithProjection])
@pytest.mark.parametrize('seed', [0, 1])
def test_features_are_those_of_clips_vision_tower(seed, kind, vocab_file, tmp_path):
    reference = clip(kind, seed)
    reference.save_pretrained(tmp_path)
    model = omnivl(vocab_file, encoder=ENCODER)
    (report,) = load_weights(model, dict(type='clip', file=str(tmp_path)))
    assert report.left == []
    assert all(key.startswith(('text_', 'visual_projection', 'logit_scale')) for key in report.unused)
    tower = getattr(reference, 'vision_model', reference)
    pixels = images(seed)
    with torch.no_grad():
        expected = tower(pixel_values=pixels)
        got = model.trunk.visual_encoder(pixels[:, None], 'image')
        clips = model.trunk.visual_encoder(pixels[:, None].expand(-1, 3, -1, -1, -1), 'video')
    assert (got.pooled - expected.pooler_output).abs().max() <= 2e-5
    last = model.trunk.visual_encoder.norm(expected.last_hidden_state)
    assert (got.tokens - last).abs().max() <= 2e-5
    assert (clips.pooled - got.pooled).abs().max() <= 1e-5


def test_the_encoder_must_be_clips(vocab_file, tmp_path):
    clip(CLIPVisionModel, 0).save_pretrained(tmp_path)
    source = dict(type='CLIPVisionReader', file=str(tmp_path))
    with pytest.raises(ValueError, match=r"activation is 'quick_gelu' there and 'gelu' in the model"):
        load_weights(omnivl(vocab_file, encoder=dict(pre_norm=True, norm_eps=1e-5)), source)
    with pytest.raises(ValueError, match=r'layer norm before its first block: set pre_norm=True'):
        load_weights(omnivl(vocab_file, encoder=dict(activation='quick_gelu', norm_eps=1e-5)), source)
    with pytest.raises(
        ValueError, match=r"activation must be one of \['gelu', 'gelu_tanh', 'quick_gelu'\], got 'swish'"
    ):
        omnivl(vocab_file, encoder=dict(activation='swish'))
