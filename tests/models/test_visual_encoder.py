"""The unified visual encoder against timm, and the laws of its video path."""

from types import SimpleNamespace

import pytest
import timm
import torch

from omnivl.models.encoders import UnifiedVisualEncoder
from omnivl.models.layers import resize_space_embedding, resize_time_embedding
from omnivl.registry import MODELS


def build_encoder(**options):
    config = dict(
        image_tokenizer=dict(type='ImageTokenizer', patch_size=8),
        video_tokenizer=dict(type='VideoTokenizer', patch_size=8),
        width=16,
        depth=2,
        num_heads=2,
        image_size=32,
        num_frames=4,
    )
    torch.manual_seed(0)
    return UnifiedVisualEncoder(**(config | options)).eval()


def shake(encoder, seed=1):
    """Move every parameter, so that nothing is zero any more."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return encoder


@pytest.mark.slow
def test_image_path_is_timms_vit_b16(tmp_path):
    """Two of its twelve blocks, which are alike."""
    torch.manual_seed(0)
    vit = timm.create_model('vit_base_patch16_224', pretrained=False, num_classes=10, depth=2).eval()
    with torch.no_grad():
        for parameter in vit.parameters():  # timm starts with zero biases; a swapped bias must show
            parameter.add_(0.02 * torch.randn_like(parameter))
    torch.save(vit.state_dict(), tmp_path / 'vit.pth')
    encoder = UnifiedVisualEncoder(dict(type='ImageTokenizer'), dict(type='VideoTokenizer'), depth=2).eval()
    from omnivl.weights import TimmViTReader

    report = TimmViTReader(str(tmp_path / 'vit.pth')).load(SimpleNamespace(parts=dict(visual_encoder=encoder)))
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = vit.forward_features(images)
        got = encoder(images[:, None], 'image')
    assert report.left == []
    assert report.unused == ['head.bias', 'head.weight']
    assert (got.tokens - expected).abs().max() <= 2e-5
    assert torch.equal(got.pooled, got.tokens[:, 0])


@pytest.mark.parametrize('time_stride', [1, 2])
@pytest.mark.parametrize('stem_channels', [(), (4, 8)])
@pytest.mark.parametrize('frames', [1, 2, 3, 4, 8, 13])
def test_clip_of_equal_frames_starts_as_its_image(frames, stem_channels, time_stride):
    encoder = shake(
        build_encoder(
            image_tokenizer=dict(type='ImageTokenizer', patch_size=8, stem_channels=stem_channels),
            video_tokenizer=dict(
                type='VideoTokenizer', patch_size=8, stem_channels=stem_channels, time_stride=time_stride
            ),
        )
    )
    encoder.start_video_from_image()
    image = torch.randn(2, 1, 3, 32, 32)
    with torch.no_grad():
        expected = encoder(image, 'image')
        got = encoder(image.expand(-1, frames, -1, -1, -1), 'video')
    assert (got.pooled - expected.pooled).abs().max() <= 1e-5
    per_frame = got.tokens[:, 1:].unflatten(1, (-1, 16))
    assert (per_frame - expected.tokens[:, None, 1:]).abs().max() <= 1e-5


def naive_block(block, cls, patches):
    """TimeSformer's block in its own words, CLS (B, D) apart from patches (B, T, P, D) in loops."""

    def attend(attention, tokens):
        query, key, value = attention.qkv(tokens).chunk(3, dim=-1)
        heads = []
        for q, k, v in zip(*(x.split(attention.head_width, dim=-1) for x in (query, key, value))):
            heads.append(((q @ k.transpose(-1, -2)) / attention.head_width**0.5).softmax(-1) @ v)
        return attention.proj(torch.cat(heads, dim=-1))

    patches = patches.clone()
    temporal = torch.stack(
        [attend(block.attention_time, block.norm_time(patches[:, :, p])) for p in range(patches.shape[2])], dim=2
    )
    patches = patches + temporal
    class_tokens, spatial = [], []
    for t in range(patches.shape[1]):
        frame = torch.cat([cls[:, None], patches[:, t]], dim=1)
        attended = attend(block.attention_space, block.norm_space(frame))
        class_tokens.append(attended[:, 0])
        spatial.append(attended[:, 1:])
    cls = cls + torch.stack(class_tokens).mean(0)
    patches = patches + torch.stack(spatial, dim=1)
    return cls + block.mlp(block.norm_mlp(cls)), patches + block.mlp(block.norm_mlp(patches))


def test_block_is_timesformers_divided_attention():
    block = shake(build_encoder()).blocks[0]
    tokens = torch.randn(2, 3, 5, 16)
    tokens[:, :, 0] = tokens[:, :1, 0]
    with torch.no_grad():
        got = block(tokens, temporal=True)
        cls, patches = naive_block(block, tokens[:, 0, 0], tokens[:, :, 1:])
    assert torch.allclose(got[:, :, 1:], patches, atol=1e-6)
    assert torch.allclose(got[:, :, 0], cls[:, None].expand(-1, 3, -1), atol=1e-6)


def test_image_ignores_everything_temporal():
    encoder = build_encoder()
    image = torch.randn(2, 1, 3, 32, 32)
    before = encoder(image, 'image').tokens
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if 'time' in name or 'video' in name:
                parameter.normal_()
    assert torch.equal(encoder(image, 'image').tokens, before)


def test_order_of_frames_matters_once_time_is_learned():
    encoder = shake(build_encoder())
    clip = torch.randn(1, 4, 3, 32, 32)
    with torch.no_grad():
        difference = encoder(clip, 'video').pooled - encoder(clip.flip(1), 'video').pooled
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize('modality', ['image', 'video'])
def test_activation_checkpointing_changes_no_gradient(modality):
    frames = torch.randn(2, 1 if modality == 'image' else 4, 3, 32, 32)
    gradients = []
    for checkpointing in (False, True):
        encoder = shake(build_encoder(activation_checkpointing=checkpointing)).train()
        encoder(frames, modality).pooled.square().sum().backward()
        gradients.append(encoder.pos_embed.grad)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_embeddings_of_the_same_size_are_untouched():
    embedding = torch.randn(1, 17, 8)
    assert resize_space_embedding(embedding, (4, 4), (4, 4)) is embedding
    assert resize_time_embedding(embedding, 17) is embedding


def test_resized_embedding_keeps_cls_and_a_constant_field():
    embedding = torch.cat([torch.full((1, 1, 3), 7.0), torch.full((1, 16, 3), 2.0)], dim=1)
    resized = resize_space_embedding(embedding, (4, 4), (6, 5))
    assert resized.shape == (1, 31, 3)
    assert torch.allclose(resized[:, 0], torch.tensor(7.0))
    assert torch.allclose(resized[:, 1:], torch.tensor(2.0))
    ramp = torch.arange(8.0).view(1, 8, 1)
    assert resize_time_embedding(ramp, 16).diff(dim=1).min() >= 0


def test_other_resolution_and_length_work_and_have_the_right_number_of_tokens():
    encoder = build_encoder()
    assert encoder(torch.randn(1, 1, 3, 48, 40), 'image').tokens.shape == (1, 1 + 6 * 5, 16)
    assert encoder(torch.randn(1, 7, 3, 48, 40), 'video').tokens.shape == (1, 1 + 7 * 6 * 5, 16)


@pytest.mark.parametrize(
    ('frames', 'modality', 'message'),
    [
        ((1, 2, 3, 32, 32), 'image', 'clip of one frame, got 2'),
        ((1, 1, 3, 32, 32), 'audio', r"modality='audio'; allowed are \('image', 'video'\)"),
        ((1, 1, 3, 30, 32), 'image', 'multiples of the patch size 8, got 30x32'),
    ],
)
def test_wrong_frames_have_their_message(frames, modality, message):
    with pytest.raises(ValueError, match=message):
        build_encoder()(torch.zeros(frames), modality)


def test_impossible_sizes_have_their_message():
    with pytest.raises(ValueError, match='width=16 and num_heads=3'):
        build_encoder(num_heads=3)
    with pytest.raises(ValueError, match='time_kernel and time_stride must be at least 1'):
        build_encoder(video_tokenizer=dict(type='VideoTokenizer', time_stride=0))
    with pytest.raises(ValueError, match='multiple of 8, got 4'):
        MODELS.build(dict(type='ImageTokenizer', width=8, patch_size=4, stem_channels=(4, 4, 4)))
    with pytest.raises(ValueError, match='same patch_size, stem_channels and width'):
        build_encoder(video_tokenizer=dict(type='VideoTokenizer', patch_size=16))
