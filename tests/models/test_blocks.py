"""The layer of transformers, pre-norm and post-norm: its formula, its cache, cross-attention without keys."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from omnivl.models.layers import CrossAttentionBlock, FeedForward, SelfAttentionBlock, TransformerLayer
from omnivl.models.layers.blocks import quick_gelu

WIDTH, HEADS = 12, 3


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def layer(norm_first, **options):
    made = TransformerLayer(WIDTH, HEADS, dropout=0.0, visual_width=8, norm_first=norm_first, eps=1e-5, **options)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.mark.parametrize('norm_first', [False, True])
def test_the_norm_stands_where_it_is_said_to(norm_first):
    block = SelfAttentionBlock(WIDTH, HEADS, 0.0, norm_first=norm_first, eps=1e-5)
    tokens = torch.randn(2, 5, WIDTH)
    if norm_first:
        expected = tokens + block.attention(F.layer_norm(tokens, (WIDTH,)))[0]
    else:
        expected = F.layer_norm(tokens + block.attention(tokens)[0], (WIDTH,))
    assert torch.allclose(block(tokens)[0], expected, atol=1e-6)


@pytest.mark.parametrize('norm_first', [False, True])
def test_a_later_token_changes_no_earlier_one_and_the_cache_gives_the_same(norm_first):
    made = layer(norm_first, norm_visual=norm_first)
    tokens, visual = torch.randn(2, 6, WIDTH), torch.randn(2, 4, 8)
    seen = made.cross_attention.project_visual(visual)
    whole, _ = made(tokens, seen, causal=True)
    changed, _ = made(torch.cat([tokens[:, :5], torch.randn(2, 1, WIDTH)], dim=1), seen, causal=True)
    assert torch.allclose(changed[:, :5], whole[:, :5], atol=1e-6)
    first, past = made(tokens[:, :4], seen, causal=True)
    rest, _ = made(tokens[:, 4:], seen, causal=True, past=past)
    assert torch.allclose(torch.cat([first, rest], dim=1), whole, atol=1e-5)


def test_masked_tokens_are_not_seen():
    made = layer(True)
    tokens, mask = torch.randn(1, 5, WIDTH), torch.tensor([[True, True, True, False, False]])
    out, _ = made(tokens, mask=mask[:, None, None])
    other = torch.cat([tokens[:, :3], torch.randn(1, 2, WIDTH)], dim=1)
    assert torch.allclose(made(other, mask=mask[:, None, None])[0][:, :3], out[:, :3], atol=1e-6)


@pytest.mark.parametrize('norm_first', [False, True])
def test_looking_directly_is_looking_by_keys_and_values(norm_first):
    block = CrossAttentionBlock(WIDTH, 8, HEADS, 0.0, norm_visual=norm_first, norm_first=norm_first)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    tokens, visual = torch.randn(3, 2, WIDTH), torch.randn(3, 7, 8)
    expected = block(tokens, block.project_visual(visual))
    assert torch.allclose(block.look_directly(tokens, visual), expected, atol=1e-5)


def test_the_feed_forward_part_can_be_another():
    made = TransformerLayer(WIDTH, HEADS, dropout=0.0, norm_first=True, mlp=nn.Identity())
    tokens = torch.randn(1, 3, WIDTH)
    attended, _ = made.self_attention(tokens)
    assert torch.allclose(made(tokens)[0], attended + F.layer_norm(attended, (WIDTH,)), atol=1e-5)
    assert not any('mlp' in name for name, _ in made.named_parameters())


def test_quick_gelu_is_clips_and_dropout_lies_inside_the_feed_forward_part():
    values = torch.randn(100)
    assert torch.allclose(quick_gelu(values), values * torch.sigmoid(1.702 * values), atol=1e-6)
    mlp = FeedForward(WIDTH, 2 * WIDTH, dropout=0.999999).train()
    assert torch.allclose(mlp(torch.randn(4, WIDTH)), mlp.fc2.bias.expand(4, -1), atol=1e-3)
