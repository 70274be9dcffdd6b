"""The plain towers beside the models of others, the pooler, and the contrast of live features."""

import pytest
import timm
import torch
from torch import nn

from omnivl.errors import OmniVLError
from omnivl.models.encoders import CausalTextEncoder, ImageEncoder
from omnivl.models.layers import AttentionalPooler
from omnivl.models.losses import ContrastLoss, contrast_loss

PLACES = dict(
    norm1='self_attention.norm', qkv='self_attention.attention.qkv', proj='self_attention.attention.proj',
    norm2='feed_forward.norm', fc1='feed_forward.mlp.fc1', fc2='feed_forward.mlp.fc2',
)  # fmt: skip


@pytest.mark.parametrize('pre_norm', [False, True])
def test_the_image_encoder_is_a_vit(pre_norm):
    torch.manual_seed(0)
    theirs = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0, pre_norm=pre_norm
    ).eval()
    for parameter in theirs.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    ours = ImageEncoder(
        dict(patch_size=8, bias=not pre_norm), width=24, depth=2, num_heads=3, image_size=32, pre_norm=pre_norm
    ).eval()
    weights = {}
    for key, value in theirs.state_dict().items():
        own = key.replace('patch_embed.', 'image_tokenizer.').replace('norm_pre.', 'pre_norm.')
        if own.startswith('blocks.'):
            *start, layer, kind = own.replace('attn.', '').replace('mlp.', '').split('.')
            own = '.'.join([*start, PLACES[layer], kind])
        weights[own] = value
    ours.load_state_dict(weights)
    frames = torch.randn(2, 3, 3, 32, 32)
    with torch.no_grad():
        expected = theirs.forward_features(frames.flatten(0, 1)).unflatten(0, (2, 3))
        found = ours(frames, 'video')
    assert torch.allclose(found.tokens, expected.flatten(1, 2), atol=1e-5)
    assert torch.allclose(found.pooled, expected[:, :, 0].mean(1), atol=1e-5)


def test_positions_of_an_image_encoder_are_fitted_to_another_resolution():
    small, large = (ImageEncoder(dict(patch_size=8), 24, 1, 3, image_size=size) for size in (32, 48))
    weights = {f'x.{name}': value for name, value in small.state_dict().items()}
    large.fit_position_embeddings(weights, 'x.')
    assert weights['x.pos_embed'].shape == (1, 37, 24) and large.image_size == (48, 48)
    assert torch.equal(weights['x.pos_embed'][:, 0], small.pos_embed[:, 0])


@pytest.mark.parametrize('activation', ['gelu', 'quick_gelu'])
def test_the_causal_text_encoder_is_that_of_clip(activation):
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    sizes = dict(vocab_size=30, hidden_size=24, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3)
    config = CLIPTextConfig(
        **sizes, max_position_embeddings=9, hidden_act=activation, eos_token_id=29, bos_token_id=28, pad_token_id=0
    )
    theirs = CLIPTextModel(config).eval()
    for parameter in theirs.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    state = {key.removeprefix('text_model.'): value for key, value in theirs.state_dict().items()}
    ours = CausalTextEncoder(30, 24, 2, 3, max_length=9, activation=activation).eval()
    weights = {
        'word.weight': state['embeddings.token_embedding.weight'],
        'position_embed': state['embeddings.position_embedding.weight'],
        'norm.weight': state['final_layer_norm.weight'],
        'norm.bias': state['final_layer_norm.bias'],
    }
    theirs_of = dict(norm1='layer_norm1', norm2='layer_norm2', fc1='mlp.fc1', fc2='mlp.fc2', proj='self_attn.out_proj')
    for index in range(2):
        for kind in ('weight', 'bias'):
            name = f'encoder.layers.{index}.'
            qkv = [state[f'{name}self_attn.{letter}_proj.{kind}'] for letter in 'qkv']
            weights[f'layers.{index}.{PLACES["qkv"]}.{kind}'] = torch.cat(qkv)
            for own, their in theirs_of.items():
                weights[f'layers.{index}.{PLACES[own]}.{kind}'] = state[f'{name}{their}.{kind}']
    ours.load_state_dict(weights)
    ids = torch.tensor([[28, 4, 5, 6, 7, 29], [28, 9, 29, 0, 0, 0]])
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask.long())
        found = ours(ids, mask)
        assert torch.allclose(found.pooled, expected.pooler_output, atol=1e-5)
        tokens = ours.norm(found.tokens)
        assert torch.allclose(tokens[mask], expected.last_hidden_state[mask], atol=1e-5)
        # In steps, with a mask and positions of one's own, the same.
        read, cache = ours.read(ids[:1, :2])
        more, _ = ours.read(ids[:1, 2:], cache)
        assert torch.allclose(torch.cat([read, more], dim=1), found.tokens[:1], atol=1e-5)
        seen = torch.ones(4, 6, dtype=torch.bool).tril(2)
        same, _ = ours.read(ids[:1, 2:], cache, seen, torch.arange(2, 6)[None])
        assert torch.allclose(same, more, atol=1e-5)
    with pytest.raises(OmniVLError, match='a text of 10 tokens is longer than the 9 positions'):
        ours(torch.ones(1, 10, dtype=torch.int64), torch.ones(1, 10, dtype=torch.bool))
    with pytest.raises(OmniVLError, match=r"pool must be one of .*'mean'"):
        CausalTextEncoder(30, 24, 2, 3, pool='mean')


@pytest.mark.parametrize('queries', [1, 3, 20])
def test_the_pooler_is_one_cross_attention(queries):
    """A few queries look directly, many with keys and values; both are what PyTorch's own module computes."""
    torch.manual_seed(0)
    pooler = AttentionalPooler(24, 16, 3, queries)
    theirs = nn.MultiheadAttention(24, 3, kdim=16, vdim=16, batch_first=True)
    attention, (key, value) = pooler.attention, pooler.attention.key_value.weight.chunk(2)
    for parameter in (attention.query.bias, attention.key_value.bias, attention.proj.bias):
        nn.init.normal_(parameter)
    theirs.load_state_dict(
        {
            'q_proj_weight': attention.query.weight,
            'k_proj_weight': key,
            'v_proj_weight': value,
            'in_proj_bias': torch.cat([attention.query.bias, attention.key_value.bias]),
            'out_proj.weight': attention.proj.weight,
            'out_proj.bias': attention.proj.bias,
        }
    )
    tokens = torch.randn(4, 7, 16)
    normed = pooler.norm_tokens(tokens)
    expected, _ = theirs(pooler.norm_query(pooler.query).expand(4, -1, -1), normed, normed)
    assert torch.allclose(pooler(tokens), expected, atol=1e-5)


def test_contrast_by_hand():
    visual, text = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # Similarities: 1, 0.6 / 0, 0.8; over the temperature 0.5: 2, 1.2 / 0, 1.6.
    rows = torch.tensor([[2.0, 1.2], [0.0, 1.6]])
    expected = -(rows.log_softmax(1).diag() + rows.log_softmax(0).diag()).mean() / 2
    temperature = torch.tensor(0.5)
    assert contrast_loss(visual, text, temperature).item() == pytest.approx(expected.item())
    assert ContrastLoss(weight=3.0)(visual, text, temperature, None).item() == pytest.approx(3 * expected.item())
    # Of one label, both texts belong to both visuals.
    shared = -(rows.log_softmax(1).mean() + rows.log_softmax(0).mean()) / 2
    assert contrast_loss(visual, text, temperature, torch.tensor([5, 5])).item() == pytest.approx(shared.item())


def test_both_sides_of_the_contrast_get_a_gradient():
    torch.manual_seed(0)
    visual, text = (nn.functional.normalize(torch.randn(5, 3), dim=1).requires_grad_() for _ in range(2))
    contrast_loss(visual, text, torch.tensor(0.1)).backward()
    logits = (visual.detach().clone().requires_grad_(), text.detach().clone().requires_grad_())
    scores = logits[0] @ logits[1].T / 0.1
    labels = torch.arange(5)
    (nn.functional.cross_entropy(scores, labels) + nn.functional.cross_entropy(scores.T, labels)).div(2).backward()
    assert torch.allclose(visual.grad, logits[0].grad, atol=1e-6)
    assert torch.allclose(text.grad, logits[1].grad, atol=1e-6)
