"""What takes less memory gives the same: losses and gradients beside those of the plain way, and what is kept."""

from itertools import product
from weakref import WeakSet

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from omnivl.models.data_preprocessor import VLDataPreprocessor
from omnivl.models.encoders import TextEncoder
from omnivl.models.layers import CrossAttentionBlock, SelfAttention, SpaceTimeBlock, attention, recompute
from omnivl.models.layers.blocks import quick_gelu
from omnivl.models.layers.linear import Linear
from omnivl.models.layers.recompute import run_block
from omnivl.models.losses import TextPrediction, language, language_loss, univlc, univlc_loss
from omnivl.models.momentum import Candidates
from omnivl.structures import VLDataSample

WIDTH, HEADS = 12, 3


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Kept:
    """What autograd has in the place of a tensor, as long as it has it."""

    def __init__(self, tensor):
        self.tensor = tensor


def kept_for_backward(function):
    """Bytes of the storages that autograd keeps of a function, and what it returns."""
    kept = WeakSet()

    def pack(tensor):
        kept.add(one := Kept(tensor))
        return one

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one.tensor):
        result = function()
    storages = {one.tensor.untyped_storage().data_ptr(): one.tensor.untyped_storage().nbytes() for one in kept}
    return sum(storages.values()), result


def gradients_of(loss, *tensors):
    return torch.autograd.grad(loss, tensors, retain_graph=True)


def same(found, expected, tolerance=1e-6):
    return all(torch.allclose(one, other, atol=tolerance) for one, other in zip(found, expected, strict=True))


@pytest.fixture(params=['a CPU', 'a GPU'])
def device_kind(request, monkeypatch):
    """Attend visual by visual, as on a CPU, or with copies that are made again, as on a GPU."""
    if request.param == 'a GPU':
        monkeypatch.setattr(attention, 'on_cpu', lambda tokens: False)


@pytest.mark.usefixtures('device_kind')
@pytest.mark.parametrize('masked', [False, True])
def test_pairs_look_at_their_visual_as_with_a_copy_of_it(masked):
    block = CrossAttentionBlock(WIDTH, 8, HEADS, dropout=0.0).train()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    tokens, visual = torch.randn(6, 2, WIDTH, requires_grad=True), torch.randn(4, 7, 8, requires_grad=True)
    index = torch.tensor([3, 0, 1, 0, 3, 0])  # nothing looks at visual 2
    mask = torch.arange(7) < torch.tensor([7, 4, 5, 3])[:, None] if masked else None
    weights = torch.randn(6, 2, WIDTH)
    found = (block(tokens, block.project_visual(visual), index, mask) * weights).sum()
    copied = block(tokens, block.project_visual(visual[index]), None, None if mask is None else mask[index])
    expected = (copied * weights).sum()
    assert same([found], [expected])
    trained = (tokens, visual, *block.parameters())
    assert same(gradients_of(found, *trained), gradients_of(expected, *trained), 1e-5)


def test_dropout_of_attention_weights_is_drawn_once(monkeypatch):
    """Of copies that are made again in the backward pass: the gradient is that of what was computed."""
    monkeypatch.setattr(attention, 'on_cpu', lambda tokens: False)
    key, value = torch.randn(2, 3, 7, 4, requires_grad=True), torch.randn(2, 3, 7, 4, requires_grad=True)
    block = CrossAttentionBlock(WIDTH, 8, HEADS, dropout=0.5).train()
    tokens, index = torch.randn(3, 2, WIDTH), torch.tensor([1, 0, 1])
    gradients = []
    for again in (attention.checkpoint, lambda function, *arguments, use_reentrant: function(*arguments)):
        monkeypatch.setattr(attention, 'checkpoint', again)
        torch.manual_seed(1)
        gradients.append(gradients_of(block(tokens, (key, value), index).square().sum(), key, value))
    assert same(*gradients)


def test_attention_with_dropout_on_a_cpu_is_pytorchs(monkeypatch):
    query, key, value = (torch.randn(2, 3, length, 4) for length in (5, 7, 7))
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    torch.manual_seed(1)
    found = attention._look_up(query, key, value, mask, 0.4)
    torch.manual_seed(1)
    assert torch.allclose(found, F.scaled_dot_product_attention(query, key, value, mask[:, None, None], 0.4), atol=1e-6)


@pytest.mark.usefixtures('device_kind')
@pytest.mark.parametrize('dropout', [0.0, 0.1])
def test_no_pair_keeps_keys_and_values_of_its_own(dropout):
    block = CrossAttentionBlock(WIDTH, 8, HEADS, dropout=dropout).train()
    tokens, visual = torch.randn(12, 1, WIDTH), torch.randn(2, 300, 8)
    key_value = block.project_visual(visual)
    size = 2 * key_value[0].nbytes
    kept, _ = kept_for_backward(lambda: block(tokens, key_value, torch.arange(12) % 2))
    weights = 3 * 12 * HEADS * 300 * 4 if dropout else 0  # softmax, what is left of it, and the draw
    assert kept < size + weights + 20_000 < 6 * size


@pytest.mark.parametrize(
    ('modality', 'how', 'mixed'),
    [('image', True, False), *product(('image', 'video'), ('selective',), (False, True))],
)
def test_what_is_computed_again_changes_no_loss_and_no_gradient(modality, how, mixed, tiny_model, random_batch):
    """Not even with dropout: the draws are kept."""
    found = []
    for again in (False, how):
        model = tiny_model(shake=True).train()
        for part in model.modules():
            if hasattr(part, 'activation_checkpointing'):
                part.activation_checkpointing = again
            if isinstance(part, nn.Dropout):
                part.p = 0.1
        torch.manual_seed(1)
        with torch.autocast('cpu', torch.bfloat16, enabled=mixed):
            kept, losses = kept_for_backward(lambda model=model: model.loss(random_batch(modality=modality)))
        total = sum(value for name, value in losses.items() if name.startswith('loss_'))
        total.backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        found.append((kept, [total, *gradients]))
    assert found[1][0] < 0.6 * found[0][0]
    # Of a weight that is used several times, gradients are added in bfloat16 where autocast keeps what it cast.
    assert same(found[0][1], found[1][1], 1e-2 if mixed else 1e-6)


def test_selective_recomputation_runs_wide_products_and_attention_once():
    calls = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            calls.append(function)
            return function(*arguments, **(options or {}))

    block = SpaceTimeBlock(WIDTH, HEADS).train()
    tokens = torch.randn(2, 1, 5, WIDTH, requires_grad=True)
    with Count():
        run_block(block, tokens, temporal=False, recompute='selective').sum().backward()
    counts = [calls.count(getattr(torch.ops.aten, name).default) for name in ('addmm', 'gelu', 'native_layer_norm')]
    assert counts == [4, 2, 4]


def test_what_to_recompute_has_its_message():
    with pytest.raises(ValueError, match="activation_checkpointing must be False, True or 'selective', got 'cheap'"):
        TextEncoder(40, width=16, depth=1, num_heads=2, activation_checkpointing='cheap')


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_logits_in_chunks_give_the_loss_of_all_at_once(smoothing, monkeypatch):
    head, tokens = nn.Linear(8, 2000), torch.randn(4, 50, 8, requires_grad=True)
    targets = torch.randint(0, 2000, (4, 50)).masked_fill(torch.rand(4, 50) < 0.5, -100)
    monkeypatch.setattr(language, 'CHUNK', 16)
    kept, loss = kept_for_backward(lambda: language_loss(TextPrediction(tokens, targets, head), smoothing))
    expected = F.cross_entropy(head(tokens).flatten(0, 1), targets.flatten(), label_smoothing=smoothing)
    assert same([loss], [expected])
    trained = (tokens, head.weight, head.bias)
    assert same(gradients_of(loss, *trained), gradients_of(expected, *trained))
    assert kept < 16 * 2000 * 4


@pytest.mark.parametrize('positives', ['mean', 'sum'])
def test_the_contrast_in_chunks_of_anchors_is_that_of_all_at_once(positives, monkeypatch):
    visual, text = (F.normalize(torch.randn(8, 4), dim=1).requires_grad_() for _ in range(2))
    labels, temperature = torch.arange(8) // 2, torch.tensor(0.07, requires_grad=True)
    others = [F.normalize(torch.randn(1000, 4), dim=1) for _ in range(2)]
    candidates = Candidates(*others, torch.arange(1000) % 4, torch.arange(1000) < 900)

    def contrast():
        return univlc_loss(visual, text, labels, candidates, temperature, positives)

    expected = contrast()
    monkeypatch.setattr(univlc, 'CHUNK', 3000)
    kept, loss = kept_for_backward(contrast)
    assert same([loss], [expected])
    trained = (visual, text, temperature)
    assert same(gradients_of(loss, *trained), gradients_of(expected, *trained), 1e-5)
    assert kept < others[0].nbytes  # neither similarities nor what is compared with


@pytest.mark.parametrize('mixed', [False, True])
@pytest.mark.parametrize('function', [nn.LayerNorm(WIDTH), F.gelu, quick_gelu])
def test_what_a_linear_layer_is_given_is_made_again(function, mixed):
    layer, values = Linear(WIDTH, 5), torch.randn(2, 30, WIDTH, requires_grad=True)
    trained = [values, *layer.parameters(), *(function.parameters() if isinstance(function, nn.Module) else ())]
    weights, gradients = torch.randn(2, 30, 5), []
    with torch.autocast('cpu', torch.bfloat16, enabled=mixed):
        kept, found = kept_for_backward(lambda: layer.after(function, values))
        expected = layer(function(values))
    assert torch.equal(found, expected)
    for result in (found, expected):
        gradients.append(torch.autograd.grad((result * weights).sum(), trained))
    assert same(*gradients, 2e-2 if mixed else 1e-6)
    assert kept <= values.nbytes + sum(one.nbytes for one in trained[1:])


def test_attention_over_few_tokens_is_made_again():
    attention, tokens, gradients, kept = SelfAttention(WIDTH, HEADS), torch.randn(50, 2, WIDTH), [], []
    for brief in (False, True):
        held, (found, _) = kept_for_backward(lambda brief=brief: attention(tokens, brief=brief))
        kept.append(held)
        gradients.append([found, *torch.autograd.grad(found.square().sum(), list(attention.parameters()))])
    assert same(*gradients, 1e-5)
    assert kept[0] - kept[1] >= tokens.nbytes


def test_frozen_parts_of_what_is_made_again_get_no_gradient():
    norm, layer, values = nn.LayerNorm(WIDTH), Linear(WIDTH, 5), torch.randn(3, WIDTH)
    norm.requires_grad_(False)
    layer.bias.requires_grad_(False)
    layer.after(norm, values).sum().backward()
    assert layer.weight.grad is not None
    assert all(one.grad is None for one in (values, layer.bias, *norm.parameters()))


def without_dropout(model):
    for part in model.modules():
        if isinstance(getattr(part, 'dropout', None), float):
            part.dropout = 0.0
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return model


def test_micro_batches_give_the_losses_and_gradients_of_the_whole_batch(tiny_model, random_batch):
    """With all three losses, and the negatives of the whole batch; the queues move alike."""
    found = []
    for count in (1, 3):
        model = without_dropout(tiny_model(shake=True, micro_batches=count).train())
        torch.manual_seed(1)
        kept, losses = kept_for_backward(lambda model=model: model.loss(random_batch(size=8)))
        sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        found.append((kept, [*losses.values(), *gradients, model.queues.visual, model.queues.text]))
    assert len(found[0][1]) > 50 and same(found[0][1], found[1][1], 2e-6)
    assert found[1][0] < 0.5 * found[0][0]


def test_micro_batches_draw_dropout_once(monkeypatch, tiny_model, random_batch):
    gradients = []
    plain = lambda function, *arguments, use_reentrant: function(*arguments)  # noqa: E731
    for again in (recompute.checkpoint, plain):
        monkeypatch.setattr(recompute, 'checkpoint', again)
        model = tiny_model(shake=True, micro_batches=2).train()
        torch.manual_seed(1)
        losses = model.loss(random_batch())
        sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert same(*gradients)


def test_no_micro_batch_has_its_message(tiny_model):
    with pytest.raises(ValueError, match='micro_batches must be at least 1, got 0'):
        tiny_model(micro_batches=0)


def test_micro_batches_take_no_negatives_of_other_ranks(monkeypatch, tiny_model, random_batch):
    model = tiny_model(micro_batches=2).train()
    drawn = model.negatives.forward

    def from_all_ranks(*features):
        return drawn(*features)._replace(wanted_visuals=torch.arange(4), wanted_texts=torch.arange(4))

    monkeypatch.setattr(model.negatives, 'forward', from_all_ranks)
    with pytest.raises(ValueError, match=r'micro_batches=2 .*negatives.all_ranks=True fetches those of others'):
        model.loss(random_batch())


@pytest.mark.parametrize(('longest', 'padded'), [(3, 8), (8, 8), (9, 12), (15, 15)])
def test_texts_are_padded_to_the_smallest_length_that_holds_them(longest, padded):
    texts = [np.arange(1, 1 + length) for length in (2, longest)]
    samples = [VLDataSample(text_ids=text) for text in texts]
    inputs = {'image': torch.zeros(2, 1, 3, 4, 4, dtype=torch.uint8)}
    batch = VLDataPreprocessor(text_lengths=(12, 8))(dict(inputs=inputs, data_samples=samples))['batch']
    assert batch.text_ids.shape == batch.text_mask.shape == (2, padded)
    assert [ids[mask].tolist() for ids, mask in zip(*batch.texts)] == [text.tolist() for text in texts]
