"""The text encoder against Hugging Face's BERT, and the laws of the two decoders."""

from types import SimpleNamespace

import pytest
import torch
from transformers import BertConfig, BertForPreTraining, BertModel

from omnivl.models.decoders import AlignmentDecoder, GenerationDecoder
from omnivl.models.encoders import TextEncoder, text
from omnivl.weights import BERTReader, load_weights

SMALL = dict(width=32, depth=3, num_heads=4, max_length=40)


def bert(kind, width, depth, num_heads, max_length, vocab_size=60):
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=num_heads,
        intermediate_size=4 * width,
        max_position_embeddings=max_length,
        type_vocab_size=2,
    )
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def padded_texts(vocab_size, lengths):
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in zip(ids, lengths):
        row[:length] = torch.randint(5, vocab_size, (length,))
    return ids, ids != 0


@pytest.mark.parametrize(
    ('size', 'seed'),
    [
        (SMALL, 0),
        (SMALL, 1),
        (dict(width=768, depth=2, num_heads=12, max_length=64), 0),  # BERT-base has twelve layers, which are alike
    ],
)
def test_text_encoder_is_hugging_faces_bert(size, seed, tmp_path):
    torch.manual_seed(seed)
    reference = bert(BertModel, **size)
    torch.save(reference.state_dict(), tmp_path / 'bert.bin')
    encoder = TextEncoder(62, **size).eval()
    report = BERTReader(str(tmp_path / 'bert.bin'), models=('text_encoder',)).load(
        SimpleNamespace(parts=dict(text_encoder=encoder))
    )
    ids, mask = padded_texts(60, [12, 7, 3])
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        got = encoder(ids, mask)
    assert (got.tokens - expected)[mask].abs().max() <= 2e-5
    assert report.left == []
    assert all('pooler' in key for key in report.unused)


@pytest.mark.parametrize('head', [False, True])
def test_gradients_of_words_are_dense_and_the_same_however_they_are_added(head, monkeypatch):
    torch.manual_seed(0)
    decoder, found = GenerationDecoder(62, visual_width=16, dropout=0.0, **SMALL), []
    words, (ids, _) = decoder.embeddings.word.weight, padded_texts(60, [12, 7, 3])
    for sparse in (True, False):
        monkeypatch.setattr(text, 'on_cpu', lambda tokens, sparse=sparse: sparse)
        tokens = decoder.embeddings(ids)
        (decoder.to_logits(tokens) if head else tokens).square().sum().backward()
        decoder.embeddings(ids).sum().backward()  # on top
        found.append(words.grad)
        words.grad = None
    assert torch.allclose(*found, atol=1e-5) and found[0].layout is torch.strided


@pytest.mark.parametrize('checkpointing', [False, True])
def test_the_first_token_alone_is_that_of_all_and_teaches_the_same(checkpointing):
    torch.manual_seed(0)
    options = dict(vocab_size=62, dropout=0.0, activation_checkpointing=checkpointing, **SMALL)
    encoder, decoder = TextEncoder(**options), AlignmentDecoder(visual_width=16, **options)
    texts, visual_index = padded_texts(60, [12, 7, 3]), torch.tensor([1, 1, 0])
    visual = decoder.project_visual(torch.randn(2, 5, 16))
    for model, inputs in ((encoder, texts), (decoder, (*texts, visual, visual_index))):
        parameters = list(model.parameters())
        found = []
        for vectors in (model(*inputs).pooled, model(*inputs, first_only=True).pooled):
            loss = (vectors * torch.linspace(-1, 1, 32)).sum()
            found.append([vectors, *torch.autograd.grad(loss, parameters, retain_graph=True)])
        for whole, alone in zip(*found):
            torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('share', ['blip', 'none'])
def test_bert_starts_all_text_models_and_the_language_head(share, tiny_model, tmp_path):
    model = tiny_model(trunk=dict(share=share))
    reference = bert(BertForPreTraining, 16, 2, 2, 24, vocab_size=32)
    torch.save(reference.state_dict(), tmp_path / 'bert.bin')
    before = model.trunk.text_encoder.embeddings.word.weight.detach().clone()
    (report,) = load_weights(model, dict(type='BERTReader', file=str(tmp_path / 'bert.bin')))
    word = model.trunk.text_encoder.embeddings.word.weight
    assert torch.equal(word[:32], reference.bert.embeddings.word_embeddings.weight)
    assert torch.equal(word[32:], before[32:])  # [DEC] and [ENC] are ours
    attention = reference.bert.encoder.layer[1].attention.self
    for part in (model.trunk.text_encoder, model.trunk.alignment_decoder, model.trunk.generation_decoder):
        assert torch.equal(part.layers[1].self_attention.attention.qkv.weight[16:32], attention.key.weight)
    assert torch.equal(
        model.trunk.generation_decoder.head.transform.weight, reference.cls.predictions.transform.dense.weight
    )
    assert report.left and all('cross_attention' in key for key in report.left)
    assert torch.equal(  # the momentum encoder follows what was loaded
        model.momentum_encoder.averages['text_encoder'].embeddings.word.weight, word
    )


def test_bert_of_another_size_and_another_model_are_refused(tiny_model, tmp_path):
    torch.save(bert(BertModel, **SMALL).state_dict(), tmp_path / 'bert.bin')
    with pytest.raises(ValueError, match='do not fit into'):
        load_weights(tiny_model(), dict(type='BERTReader', file=str(tmp_path / 'bert.bin')))
    torch.save(dict(weight=torch.zeros(3)), tmp_path / 'other.bin')
    with pytest.raises(ValueError, match='not a BERT that we know'):
        load_weights(tiny_model(), dict(type='BERTReader', file=str(tmp_path / 'other.bin')))


def shaken(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def build_decoder(kind):
    torch.manual_seed(0)
    return shaken(kind(40, width=16, visual_width=12, depth=2, num_heads=2, max_length=20))


@pytest.mark.parametrize('kind', [AlignmentDecoder, GenerationDecoder])
def test_texts_grouped_by_visual_equal_texts_with_an_index(kind):
    decoder = build_decoder(kind)
    key_values = decoder.project_visual(torch.randn(3, 5, 12))
    ids, mask = padded_texts(40, [6, 4, 6, 5, 3, 6])
    index = torch.tensor([0, 0, 1, 1, 2, 2])
    with torch.no_grad():
        if kind is AlignmentDecoder:
            grouped, indexed = (decoder(ids, mask, key_values, i).tokens for i in (None, index))
        else:
            grouped, indexed = (decoder(ids, key_values, i) for i in (None, index))
    assert torch.allclose(grouped, indexed, atol=1e-6)
    with pytest.raises(ValueError, match='5 texts cannot be grouped evenly over 3 visuals'):
        decoder.run_layers(torch.zeros(5, 6, 16), key_values)


def test_alignment_sees_both_directions_and_no_padding():
    decoder = build_decoder(AlignmentDecoder)
    key_values = decoder.project_visual(torch.randn(1, 5, 12))
    ids, mask = padded_texts(40, [6])
    longer = torch.cat([ids, torch.full((1, 3), 9)], dim=1)
    longer_mask = torch.cat([mask, torch.zeros(1, 3, dtype=torch.bool)], dim=1)
    changed = ids.clone()
    changed[0, 4] = (changed[0, 4] + 1) % 40
    with torch.no_grad():
        plain = decoder(ids, mask, key_values).pooled
        assert torch.allclose(decoder(longer, longer_mask, key_values).pooled, plain, atol=1e-6)
        assert (decoder(changed, mask, key_values).pooled - plain).abs().max() > 1e-4


def test_generation_at_a_position_does_not_see_later_words():
    decoder = build_decoder(GenerationDecoder)
    key_values = decoder.project_visual(torch.randn(1, 5, 12))
    ids, _ = padded_texts(40, [7])
    changed = ids.clone()
    changed[0, 4] = (changed[0, 4] + 1) % 40
    with torch.no_grad():
        difference = (decoder(ids, key_values) - decoder(changed, key_values)).abs().amax(dim=(0, 2))
    assert difference[:4].max() <= 1e-6
    assert difference[4:].min() > 1e-5


@pytest.mark.parametrize('chunks', [[7], [1] * 7, [3, 1, 3]])
def test_cached_steps_equal_one_pass(chunks):
    decoder = build_decoder(GenerationDecoder)
    key_values = decoder.project_visual(torch.randn(2, 5, 12))
    ids, _ = padded_texts(40, [7, 7, 7, 7])  # two texts per visual
    with torch.no_grad():
        expected = decoder(ids, key_values)
        cache, start = None, 0
        for size in chunks:
            logits, cache = decoder.step(ids[:, start : start + size], cache, key_values)
            start += size
            assert torch.allclose(logits, expected[:, start - 1], atol=1e-5)


def test_a_text_that_is_too_long_has_its_message():
    decoder = build_decoder(GenerationDecoder)
    key_values = decoder.project_visual(torch.randn(1, 5, 12))
    with pytest.raises(ValueError, match='21 word pieces is longer than the 20 positions'):
        decoder(torch.ones(1, 21, dtype=torch.int64), key_values)
