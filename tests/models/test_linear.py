"""Packed linear layers: what PyTorch's usual way says, and only where it is meant to be."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from omnivl.models.decoders import GenerationDecoder
from omnivl.models.decoders.generation import packed_decoders
from omnivl.models.layers import CrossAttention
from omnivl.models.layers import linear as linear_module
from omnivl.models.layers.linear import Linear, can_use_onednn, linear, onednn_works, pack

WIDTH = 512  # the least whose square weights go by oneDNN

needs_onednn = pytest.mark.skipif(not onednn_works(), reason='this PyTorch has no oneDNN for linear layers')


def values(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def decoder(width=WIDTH):
    torch.manual_seed(0)
    return GenerationDecoder(vocab_size=600, width=width, visual_width=width, depth=2, num_heads=8, dropout=0.0).eval()


@pytest.mark.parametrize('is_packed', [False, True])
@pytest.mark.parametrize('has_bias', [False, True])
def test_linear_is_the_usual_one(has_bias, is_packed):
    weight, bias = values(2 * WIDTH, WIDTH), values(2 * WIDTH, seed=1) if has_bias else None
    whole = values(4, 7, WIDTH, seed=2)
    inputs = [whole, whole[:, -1], whole[:, ::2], whole.transpose(0, 1), whole[0, 0], whole[:1].expand(3, -1, -1)]
    inputs.append(whole[:0])
    packed = pack(weight) if is_packed else None
    for tokens in inputs:
        with torch.no_grad():
            found = linear(tokens, weight, bias, packed)
        expected = F.linear(tokens.double(), weight.double(), None if bias is None else bias.double())
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


@needs_onednn
@pytest.mark.filterwarnings('ignore:TF32')  # of torch.backends.mkldnn.flags, whatever is set
def test_onednn_is_for_large_float32_weights_without_gradients():
    weight, tokens = values(WIDTH, WIDTH), values(3, WIDTH)
    assert not can_use_onednn(tokens, weight)
    with torch.no_grad():
        assert can_use_onednn(tokens, weight)
        assert not can_use_onednn(tokens, weight[:-1])
        assert not can_use_onednn(tokens[:0], weight)
        assert not can_use_onednn(tokens.double(), weight.double())
        assert not can_use_onednn(tokens.to('meta'), weight)
        with torch.autocast('cpu'):
            assert not can_use_onednn(tokens, weight)
        with torch.backends.mkldnn.flags(enabled=False):
            assert not can_use_onednn(tokens, weight)
            assert pack(weight) is None


def missing(*_):
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")


def refused(*_):
    raise RuntimeError('mkldnn::_linear_pointwise() is missing value for argument')


def wrong(values, weight, bias):
    return torch.zeros(len(values), 4)


@pytest.mark.parametrize('operator', [missing, refused, wrong])
def test_where_the_operators_do_not_what_we_expect_nothing_is_packed(operator, monkeypatch):
    """They are no public interface: another PyTorch may have them in another form, or not at all."""
    monkeypatch.setattr(linear_module, '_onednn_linear', operator)
    onednn_works.cache_clear()
    model, ids = decoder(), torch.tensor([[5, 6], [7, 8]])
    try:
        assert not onednn_works()
        with torch.no_grad():
            key_values = model.project_visual(values(2, 9, WIDTH))
            before, _ = model.step(ids, None, key_values)
            with model.packed():
                assert model.layers[0].feed_forward.mlp.fc1.packed is None and model.head.packed is None
                after, _ = model.step(ids, None, key_values)
        assert torch.equal(after, before)
    finally:
        onednn_works.cache_clear()  # which does work again


def test_without_packing_a_layer_is_the_usual_one_bit_for_bit():
    layer, tokens = Linear(WIDTH, WIDTH), values(3, 5, WIDTH)
    with torch.no_grad():
        assert torch.equal(layer(tokens), F.linear(tokens, layer.weight, layer.bias))


def test_gradients_and_names_are_those_of_the_usual_layer():
    ours, usual = Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    usual.load_state_dict(ours.state_dict())
    for layer in (ours, usual):  # of rows, of a single one, and of two uses of one weight
        (layer(layer(values(3, WIDTH))).sum() + layer(values(WIDTH, seed=1)).square().sum()).backward()
    assert torch.equal(ours.weight.grad, usual.weight.grad) and torch.equal(ours.bias.grad, usual.bias.grad)


def test_a_packed_decoder_says_the_same_and_forgets_afterwards():
    model, ids = decoder(), torch.tensor([[5, 6], [7, 8]])
    with torch.no_grad():
        key_values = model.project_visual(values(2, 9, WIDTH))
        before, _ = model.step(ids, None, key_values)
        with packed_decoders(nn.ModuleList([model])):
            assert model.layers[0].feed_forward.mlp.fc1.packed is not None or not onednn_works()
            kept = model.layers[0].feed_forward.mlp.fc1.packed
            with model.packed():
                pass
            assert model.layers[0].feed_forward.mlp.fc1.packed is kept
            packed, cache = model.step(ids[:, :1], None, key_values)
            packed, _ = model.step(ids[:, 1:], cache, key_values)
        torch.testing.assert_close(packed, before, rtol=1e-4, atol=1e-4)
        for parameter in model.parameters():
            parameter.mul_(1.5)
        with pytest.raises(RuntimeError, match='stopped'), model.packed():
            raise RuntimeError('stopped')
        assert not any(getattr(part, 'packed', None) is not None for part in (*model.layers.modules(), model.head))
        after, _ = model.step(ids, None, key_values)
    expected = model(ids, key_values)[:, -1]  # with gradients: the usual way, with the new weights
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, before, atol=1e-2)


@pytest.mark.parametrize('is_masked', [False, True])
@pytest.mark.parametrize('index', [[2, 0, 0, 1, 2], [0, 0, 0], [1, 0, 1, 0], [2]])
def test_texts_look_at_their_visuals_without_copies_as_with_them(index, is_masked):
    torch.manual_seed(0)
    attention = CrossAttention(width=8, visual_width=6, num_heads=2)
    index, tokens = torch.tensor(index), values(len(index), 4, 8)
    key_mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool() if is_masked else None
    key_value = attention.project_visual(values(3, 5, 6, seed=1))
    expected = attention(tokens, key_value, index, key_mask)
    with torch.no_grad():
        found = attention(tokens, attention.project_visual(values(3, 5, 6, seed=1)), index, key_mask)
    torch.testing.assert_close(found, expected)
