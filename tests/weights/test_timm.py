"""timm's Vision Transformers beside our encoder: every kind is right, or refused by its name."""

import json

import pytest
import timm
import torch
from foreign import images, omnivl, shaken
from safetensors.torch import save_file

from omnivl.weights import load_weights

SIZE = dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3)


def vit(**options):
    torch.manual_seed(0)
    return shaken(timm.models.VisionTransformer(**(SIZE | options)), 0)


def loaded(vocab_file, file, encoder=None, **options):
    model = omnivl(vocab_file, encoder=encoder)
    (report,) = load_weights(model, dict(type='timm', file=str(file), **options))
    return model, report


@pytest.mark.parametrize(
    ('options', 'encoder'),
    [
        (dict(init_values=0.5), None),  # DINOv2's LayerScale
        (dict(init_values=0.5, no_embed_class=True), None),  # DeiT-III's, too
        (dict(no_embed_class=True, img_size=48), None),
        (dict(pre_norm=True, norm_layer=torch.nn.LayerNorm), dict(pre_norm=True, norm_eps=1e-5)),
    ],
)
def test_features_are_those_of_timm(options, encoder, vocab_file, tmp_path):
    reference = vit(**options)
    torch.save(reference.state_dict(), tmp_path / 'vit.pth')
    model, report = loaded(
        vocab_file, tmp_path / 'vit.pth', dict(encoder or {}, image_size=options.get('img_size', 32))
    )
    assert report.left == [] and report.unused == ['head.bias', 'head.weight']
    assert any('LayerScale' in note for note in report.notes) == ('init_values' in options)
    pixels = images(1, side=options.get('img_size', 32))
    with torch.no_grad():
        got = model.trunk.visual_encoder(pixels[:, None], 'image')
        assert (got.tokens - reference.forward_features(pixels)).abs().max() <= 2e-5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(reg_tokens=2), r'it has registers \(reg_token\)'),
        (dict(reg_tokens=2, no_embed_class=True), r'it has registers \(reg_token\)'),
        (dict(class_token=False, global_pool='avg'), 'no cls_token'),
        (dict(global_pool='avg'), r'one behind a mean of its tokens \(fc_norm\)'),
        (dict(pre_norm=True), 'a norm before its first block .*set pre_norm=True'),
        (dict(pos_embed='none'), 'no pos_embed'),
        (dict(qk_norm=True), r'8 keys without a place in the model.*Without blocks.0.attn.k_norm.bias the model would'),
    ],
)
def test_what_the_encoder_has_not_is_refused_by_name_and_nobody_is_told_to_allow_it(
    options, message, vocab_file, tmp_path
):
    torch.save(vit(**options).state_dict(), tmp_path / 'vit.pth')
    with pytest.raises(ValueError, match=message) as caught:
        loaded(vocab_file, tmp_path / 'vit.pth')
    assert '--allow' not in str(caught.value)


def test_settings_are_those_of_timms_config_where_it_lies_beside(vocab_file, tmp_path):
    """Number of heads and activation are in no tensor: such a file loads, and its features are wrong."""
    weights = {key: value.clone() for key, value in vit(num_heads=4).state_dict().items()}
    save_file(weights, tmp_path / 'model.safetensors')
    _, report = loaded(vocab_file, tmp_path / 'model.safetensors')
    told = 'no config.json lies beside model.safetensors: number of heads, norm_eps and activation were not compared'
    assert told in report.notes
    config = dict(
        architecture='vit_tiny_patch16_224',
        pretrained_cfg=dict(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5]),
        model_args=SIZE | dict(num_heads=4),
    )
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match='num_heads is 4 there and 2 in the model'):
        loaded(vocab_file, tmp_path / 'model.safetensors')
    _, report = loaded(vocab_file, tmp_path / 'model.safetensors', dict(num_heads=4))
    assert told not in report.notes and any('normalised with mean [0.5, 0.5, 0.5]' in note for note in report.notes)
    config |= dict(architecture='vit_base_patch16_clip_quickgelu_224', model_args=dict(SIZE, num_heads=4))
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match="activation is 'quick_gelu' there and 'gelu' in the model"):
        loaded(vocab_file, tmp_path / 'model.safetensors', dict(num_heads=4, norm_eps=1e-5))
