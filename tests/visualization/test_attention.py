import numpy as np
import pytest
import torch

from omnivl.visualization.attention import (
    KINDS,
    alignment_attention,
    apply_weights,
    attend,
    cross_attention_weights,
    draw_heat,
    draw_word_attention,
    group_words,
    token_grid,
    usual_layer,
)


@pytest.fixture
def model(tiny_model):
    return tiny_model(shake=True).eval()


def pixels(time, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (time, 32, 32, 3), dtype=np.uint8)


def inputs(model, batch):
    key_values = model.trunk.matching_key_values(model.encode(batch).tokens)
    return batch.text_ids, batch.text_mask, key_values


@pytest.mark.parametrize('modality', ['image', 'video'])
@pytest.mark.parametrize('layer', [0, 1, -1])
@torch.no_grad()
def test_the_weights_give_the_output_of_the_layer(model, random_batch, modality, layer):
    text_ids, text_mask, key_values = inputs(model, random_batch(modality=modality))
    weights, logits = alignment_attention(model.trunk, text_ids, text_mask, key_values, layer)
    # The same layer inside the decoder, by way of torch's own attention.
    decoder = model.trunk.alignment_decoder
    index = layer % 2
    tokens, mask = decoder.embeddings(model.trunk.matching_ids(text_ids)), text_mask[:, None, None]
    for block, key_value in zip(decoder.layers[:index], key_values):
        tokens, _ = block(tokens, key_value, mask=mask)
    tokens, _ = decoder.layers[index].self_attention(tokens, mask)
    attention = decoder.layers[index].cross_attention.attention
    key, value = key_values[index]
    expected = attention(tokens, (key, value))
    torch.testing.assert_close(apply_weights(attention, weights, value), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(cross_attention_weights(attention, tokens, key), weights)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
    # The rest of the decoder was run on that: its match is the model's.
    torch.testing.assert_close(logits, model.trunk.match_logits(text_ids, text_mask, key_values), atol=1e-5, rtol=0)


def test_relevance_is_attention_times_what_it_does_for_the_match(model, random_batch):
    """The gradient against a finite difference."""
    model = model.double()
    batch = random_batch(size=1)
    batch.inputs = {name: values.double() for name, values in batch.inputs.items()}
    with torch.no_grad():
        text_ids, text_mask, key_values = inputs(model, batch)
    weights, logits = alignment_attention(model.trunk, text_ids, text_mask, key_values, 0)
    relevance, same = alignment_attention(model.trunk, text_ids, text_mask, key_values, 0, relevance=True)
    torch.testing.assert_close(same, logits)
    assert (relevance >= 0).all() and (relevance > 0).any() and not relevance.requires_grad
    block, value = model.trunk.alignment_decoder.layers[0], key_values[0][1]
    with torch.no_grad():
        tokens = model.trunk.alignment_decoder.embeddings(model.trunk.matching_ids(text_ids))
        tokens, _ = block.self_attention(tokens, text_mask[:, None, None])

        def match(changed):
            attended = apply_weights(block.cross_attention.attention, changed, value)
            out = block.feed_forward(block.cross_attention.norm(tokens + attended))
            out, _ = model.trunk.alignment_decoder.layers[1](out, key_values[1], mask=text_mask[:, None, None])
            return model.trunk.matching_head(out[:, 0])[0, 1]

        for place in ((0, 0, 0, 3), (0, 1, 2, 5)):
            step = torch.zeros_like(weights)
            step[place] = 1e-6
            slope = (match(weights + step) - match(weights - step)) / 2e-6
            assert relevance[place] == pytest.approx(float(weights[place] * slope.clamp(min=0)), rel=1e-4, abs=1e-12)


def test_a_model_in_training_is_left_in_training_and_without_gradients(model):
    model.train()
    attend(model, pixels(1), 'w1 w2', 'image', kind='relevance')
    assert model.training and not model.momentum_encoder.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(('modality', 'time', 'stride', 'grid'), [
    ('image', 1, 1, (1, 4, 4)), ('video', 4, 1, (4, 4, 4)), ('video', 6, 2, (3, 4, 4)),
])  # fmt: skip
def test_maps_have_the_grid_of_the_tokens(tiny_model, modality, time, stride, grid):
    model = tiny_model(shake=True, trunk=dict(time_stride=stride))
    result = attend(model, pixels(time), 'w1 w22 w3', modality)
    assert result.words == ['w1', 'w22', 'w3'] and result.maps.shape == (3, *grid)
    assert token_grid(model.trunk, torch.zeros(1, time, 3, 32, 32), modality) == grid
    assert 0 <= result.match <= 1
    # What is missing to one went to the visual's [CLS].
    assert (result.maps.sum(axis=(1, 2, 3)) < 1).all() and (result.maps >= 0).all()


def test_the_place_in_the_map_is_the_place_in_the_picture(tiny_model):
    """Keys that point at one patch light up that patch."""
    model = tiny_model().eval()
    place = (1, 2)  # row, column
    attention = model.trunk.alignment_decoder.layers[0].cross_attention.attention
    encode = model.trunk.encode

    def marked(batch):
        features = encode(batch)
        tokens = torch.zeros_like(features.tokens)
        tokens[:, 1 + place[0] * 4 + place[1]] = 1
        return features._replace(tokens=tokens)

    model.trunk.encode = marked
    with torch.no_grad():
        attention.query.weight.zero_()
        attention.query.bias.fill_(1)
        attention.key_value.weight.fill_(1)
    heat = attend(model, pixels(1), 'w1', 'image', layer=0).maps[0, 0]
    assert np.unravel_index(heat.argmax(), heat.shape) == place and heat.max() > 0.9


def test_contrast_is_what_a_word_has_more_than_the_others(model):
    plain = attend(model, pixels(1), 'w1 w2 w3', 'image').maps
    more = attend(model, pixels(1), 'w1 w2 w3', 'image', kind='contrast').maps
    np.testing.assert_allclose(more, np.maximum(plain - plain.mean(axis=0), 0), atol=1e-7)


def test_pieces_are_joined_to_words():
    assert group_words(['a', 'sky', '##line', '##s', 'in', '[UNK]']) == [
        ('a', [0]), ('skylines', [1, 2, 3]), ('in', [4]), ('[UNK]', [5]),
    ]  # fmt: skip
    assert group_words(['##s', 'a']) == [('##s', [0]), ('a', [1])]


def test_unknown_words_keep_their_place(model):
    assert attend(model, pixels(1), 'w1 unheard w2', 'image').words == ['w1', '[UNK]', 'w2']


def test_the_usual_layer_is_two_thirds_up_and_relevance_has_one_whose_words_matter(model):
    assert (usual_layer(model.trunk), usual_layer(model.trunk, 'relevance')) == (1, 0)
    model.trunk.alignment_decoder.layers.extend([model.trunk.alignment_decoder.layers[0]] * 10)
    assert usual_layer(model.trunk) == usual_layer(model.trunk, 'relevance') == 8


def test_heat_is_brightest_where_the_weight_is():
    frames = np.full((4, 32, 32, 3), 128, np.uint8)
    heat = np.zeros((2, 4, 4), np.float32)
    heat[1, 2, 3] = 1  # the second half of the clip
    drawn = draw_heat(frames, heat).astype(int)
    assert drawn.shape == frames.shape
    light = drawn.sum(axis=3)
    assert (light[:2] == light[0, 0, 0]).all()
    for frame in light[2:]:
        row, column = np.unravel_index(frame.argmax(), frame.shape)
        assert row // 8 == 2 and column // 8 == 3 and frame.max() > light[0].max() + 100
    assert len(np.unique(draw_heat(frames, np.ones((2, 4, 4)))[..., 0])) == 1  # flat, and no division by zero


@pytest.mark.parametrize('kind', KINDS)
def test_pictures_are_drawn(model, kind):
    image = draw_word_attention(model, pixels(1), 'w1 w2 w3', 'image', kind=kind)
    some = draw_word_attention(model, pixels(1), 'w1 w2 w3', 'image', words=['w2'], kind=kind)
    clip = draw_word_attention(model, pixels(4), 'w1 w2', 'video', kind=kind, height=64)
    assert image.width > some.width and clip.width > some.width


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(kind='gradient'), r"kind must be one of \('attention', 'contrast', 'relevance'\), got 'gradient'"),
        (dict(layer=2), r'layer must be in -2 ... 1, got 2'),
        (dict(layer=-3), r'layer must be in -2 ... 1, got -3'),
        (dict(layer=-1, kind='relevance'), r'nothing to show at the last layer \(1\)'),
        (dict(words=['w9']), r"\['w9'\] are not in the text, whose words are \['w1', 'w2'\]"),
        (dict(text=''), "the text '' has no word"),
    ],
)
def test_errors_say_what_is_allowed(model, options, message):
    with pytest.raises(ValueError, match=message):
        draw_word_attention(model, pixels(1), **{'text': 'w1 w2', 'modality': 'image'} | options)


def test_a_model_that_does_not_match_is_refused(tiny_model):
    with pytest.raises(TypeError, match=r'a picture of attention needs a model that scores pairs .* alignment_decoder'):
        attend(tiny_model(type='OmniVLCaption'), pixels(1), 'w1', 'image')
