"""TimeSformer of Hugging Face: its features are ours, on 8 and on 16 frames."""

from types import SimpleNamespace

import pytest
import torch
from foreign import omnivl, shaken
from transformers import TimesformerConfig, TimesformerForVideoClassification, TimesformerModel

from omnivl.weights import load_weights
from omnivl.weights.timesformer import fold_linear


def timesformer(seed, frames, kind=TimesformerModel, noise=0.1, **options):
    torch.manual_seed(seed)
    small = dict(hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32)
    config = TimesformerConfig(**(small | dict(patch_size=8, num_frames=frames) | options))
    return shaken(kind(config), seed, noise)


def frame_after_frame(tokens, frames):
    """Hugging Face has the frames of a patch side by side, we have the patches of a frame."""
    batch, length, width = tokens.shape
    patches = tokens[:, 1:].view(batch, (length - 1) // frames, frames, width).transpose(1, 2)
    return torch.cat([tokens[:, :1], patches.flatten(1, 2)], dim=1)


@pytest.mark.parametrize('seed', [0, 1, 2])
@pytest.mark.parametrize('frames', [8, 16])
def test_features_of_a_clip_are_timesformers(frames, seed, vocab_file, tmp_path):
    reference = timesformer(seed, frames)
    reference.save_pretrained(tmp_path)
    model = omnivl(vocab_file, encoder=dict(num_frames=frames))
    (report,) = load_weights(model, dict(type='timesformer', file=str(tmp_path)))
    assert report.left == [] and report.unused == []
    clips = torch.randn(2, frames, 3, 32, 32)
    with torch.no_grad():
        expected = frame_after_frame(reference(clips).last_hidden_state, frames)
        got = model.trunk.visual_encoder(clips, 'video')
    assert (got.tokens - expected).abs().max() <= 5e-5
    assert (got.pooled - expected[:, 0]).abs().max() <= 5e-5


@pytest.mark.slow
@pytest.mark.parametrize(('width', 'depth'), [(768, 2), (96, 12)], ids=['as wide', 'as deep'])
def test_features_of_a_clip_are_timesformers_at_base_size(width, depth, tmp_path):
    """In width and in depth, one at a time."""
    frames = 8
    base = dict(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=depth, num_attention_heads=12)
    reference = timesformer(0, frames, noise=0.02, **base, image_size=224, patch_size=16)
    reference.save_pretrained(tmp_path)
    encoder = omnivl_encoder(frames, width, depth)
    load_weights(
        SimpleNamespace(parts=dict(visual_encoder=encoder)),
        dict(type='TimeSformerReader', file=str(tmp_path / 'model.safetensors')),
    )
    clip = torch.randn(1, frames, 3, 224, 224)
    with torch.no_grad():
        expected = frame_after_frame(reference(clip).last_hidden_state, frames)
        assert (encoder(clip, 'video').tokens - expected).abs().max() <= 5e-5


def omnivl_encoder(frames, width, depth):
    from omnivl.models.encoders import UnifiedVisualEncoder

    tokenizers = dict(type='ImageTokenizer'), dict(type='VideoTokenizer')
    return UnifiedVisualEncoder(*tokenizers, num_frames=frames, width=width, depth=depth).eval()


def test_finetuned_weights_lose_their_head_and_fit_another_clip_length_and_resolution(vocab_file, tmp_path):
    reference = timesformer(3, 4, TimesformerForVideoClassification, image_size=48, num_labels=5)
    reference.save_pretrained(tmp_path)
    model = omnivl(vocab_file, encoder=dict(num_frames=8))
    (report,) = load_weights(model, dict(type='timesformer', file=str(tmp_path)))
    assert report.unused == ['classifier.bias', 'classifier.weight'] and report.left == []
    embedding = reference.timesformer.embeddings.time_embeddings
    # Linear between the centres of the old frames: the first new one lies before the first centre.
    assert torch.equal(model.trunk.visual_encoder.time_embed[:, 0], embedding[:, 0])
    assert torch.allclose(model.trunk.visual_encoder.time_embed[:, 1], 0.75 * embedding[:, 0] + 0.25 * embedding[:, 1])


def test_two_linear_layers_fold_into_one():
    generator = torch.Generator().manual_seed(0)
    first, second = ((torch.randn(5, 5, generator=generator), torch.randn(5, generator=generator)) for _ in range(2))
    x = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    weight, bias = fold_linear(first, second)
    inner = x @ first[0].double().T + first[1].double()
    expected = inner @ second[0].double().T + second[1].double()
    assert torch.allclose(x @ weight.double().T + bias.double(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_attention_heads=4), 'num_heads is 4 there and 2 in the model'),
        (dict(layer_norm_eps=1e-5), 'norm_eps is 1e-05 there and 1e-06 in the model'),
        (dict(hidden_act='relu'), "activation is 'relu' there and 'gelu'"),
        (dict(attention_type='joint_space_time'), "attention_type is 'joint_space_time' there"),
    ],
)
def test_settings_that_no_tensor_shows_are_compared(options, message, vocab_file, tmp_path):
    timesformer(0, 8, **options).save_pretrained(tmp_path)
    model = omnivl(vocab_file)
    with pytest.raises(ValueError, match=message):
        load_weights(model, dict(type='timesformer', file=str(tmp_path)))
    if 'num_attention_heads' in options:
        load_weights(model, dict(type='timesformer', file=str(tmp_path), allow=['num_heads']))


def test_half_precision_is_folded_in_full_precision():
    half = torch.full((2, 2), 0.1, dtype=torch.float16), torch.full((2,), 0.1, dtype=torch.float16)
    weight, bias = fold_linear(half, half)
    assert weight.dtype == bias.dtype == torch.float32
    assert torch.equal(weight, (half[0].double() @ half[0].double()).float())


def test_another_kind_of_attention_is_refused_without_its_config_too(vocab_file, tmp_path):
    timesformer(0, 8, attention_type='joint_space_time').save_pretrained(tmp_path)
    (tmp_path / 'config.json').unlink()
    with pytest.raises(ValueError, match=r'no encoder.layer.0.temporal_layernorm.weight .* not a TimeSformer'):
        load_weights(omnivl(vocab_file), dict(type='timesformer', file=str(tmp_path)))
