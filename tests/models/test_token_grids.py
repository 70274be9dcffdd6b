"""Positions on a grid, tokens left out, and queries and keys that have norms."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from omnivl.models.layers import FactorisedPositions, FeedForward, SelfAttention, drop_tokens

WIDTH = 8


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize('spread', [False, True])
def test_a_token_gets_the_normalised_sum_of_its_entries(spread):
    positions = FactorisedPositions(WIDTH, (4, 6), spread=spread)
    tokens = torch.randn(3, 2, 3, WIDTH)
    out = positions(tokens)
    for row in range(2):
        for column in range(3):
            entries = (2 * row, 2 * column) if spread else (row, column)
            total = sum(table[entry] for table, entry in zip(positions.pos_embed, entries))
            expected = tokens[:, row, column] + F.layer_norm(total, (WIDTH,), eps=1e-6)
            assert torch.allclose(out[:, row, column], expected, atol=1e-6)


@pytest.mark.parametrize('shape', [(1, 3, 5, WIDTH), (1, 5, 2, WIDTH), (1, 3, WIDTH)])
def test_a_grid_without_positions_has_its_message(shape):
    with pytest.raises(ValueError, match=r'tokens on a grid of \(.*\) have no positions in tables of \(4, 4\)'):
        FactorisedPositions(WIDTH, (4, 4))(torch.zeros(shape))


@pytest.mark.parametrize('shared', [False, True])
def test_tokens_that_stay_keep_their_order_and_their_mask(shared):
    places = torch.arange(40.0)[None, :, None].expand(6, -1, 1)
    real = places[..., 0] < 30
    kept, kept_real = drop_tokens(places, 0.75, real, shared)
    assert kept.shape == (6, 10, 1) and (kept[:, 1:] > kept[:, :-1]).all()
    assert torch.equal(kept_real, kept[..., 0] < 30)
    assert (kept == kept[:1]).all() == shared
    assert drop_tokens(places, 0.0, real)[0] is places
    assert drop_tokens(places, 0.99)[0].shape == (6, 1, 1)


@pytest.mark.parametrize('rate', [-0.1, 1.0])
def test_a_rate_that_is_no_share_has_its_message(rate):
    with pytest.raises(ValueError, match=r'must be in \[0, 1\), got'):
        drop_tokens(torch.zeros(1, 2, 3), rate)


def test_queries_and_keys_have_their_norms():
    attention = SelfAttention(WIDTH, 2, qk_norm=True)
    for norm in (attention.norm_query, attention.norm_key):
        nn.init.normal_(norm.weight)
    tokens = torch.randn(2, 5, WIDTH)
    query, key, value = (one.unflatten(2, (2, 4)).transpose(1, 2) for one in attention.qkv(tokens).chunk(3, dim=2))
    query, key = attention.norm_query(query), attention.norm_key(key)
    read = (query @ key.mT / 2).softmax(-1) @ value
    expected = attention.proj(read.transpose(1, 2).flatten(2))
    assert torch.allclose(attention(tokens)[0], expected, atol=1e-6)
    assert torch.allclose(attention.first(tokens), expected[:, :1], atol=1e-6)
    with torch.no_grad():
        attention.qkv.weight[: 2 * WIDTH] *= 1000
        attention.qkv.bias[: 2 * WIDTH] *= 1000
    assert torch.allclose(attention(tokens)[0], expected, atol=1e-3)  # scores do not grow with the weights


def test_gelu_by_tanh_is_the_approximation():
    layer, values = FeedForward(4, 4, 'gelu_tanh'), torch.randn(3, 4)
    nn.init.eye_(layer.fc1.weight), nn.init.eye_(layer.fc2.weight)
    nn.init.zeros_(layer.fc1.bias), nn.init.zeros_(layer.fc2.bias)
    cube = 0.7978845608 * (values + 0.044715 * values**3)  # sqrt(2 / pi), GELU (1606.08415)
    assert torch.allclose(layer(values), 0.5 * values * (1 + torch.tanh(cube)), atol=1e-6)
