"""Which pairs matching learns of: by words, by momentum features, with and without label data."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from omnivl.models.losses import HardNegatives, TextPrediction, text_keys
from omnivl.models.tasks.pretrain import PretrainingStep

LABELLED = torch.tensor([False, True, False, False, True, False])


def with_texts(batch, text_ids):
    return replace(batch, text_ids=text_ids, text_mask=text_ids != 0)


def test_texts_have_the_same_key_where_their_words_are_the_same():
    ids = torch.randint(1, 30_000, (2000, 12))
    ids[1000:] = ids[:1000]
    ids[1000:1500, 3] += 1  # another word
    ids[1500, [4, 5]] = ids[1500, [5, 4]]  # another order
    keys = text_keys(ids, ids != 0)
    assert torch.equal(keys[1501:], keys[501:1000]) and len(keys[:1501].unique()) == 1501
    padded = F.pad(ids, (0, 7))
    assert torch.equal(text_keys(padded, padded != 0), keys)


@pytest.mark.parametrize('use_labels', [True, False])
def test_texts_of_equal_words_are_never_each_others_negatives(tiny_model, random_batch, use_labels):
    """A caption and the text of a class may be the same words, and have other ids; padding is no word."""
    batch = random_batch(size=6)
    batch.text_ids[4] = batch.text_ids[0]
    batch = with_texts(batch, F.pad(batch.text_ids, (0, 3)))
    model = tiny_model(use_labels=use_labels)
    for _ in range(40):
        pairs = PretrainingStep(model, batch).pairs
        for place, other in ((0, 4), (4, 0)):
            assert other not in pairs.visual_index[[6 + place]] and other not in pairs.text_index[[12 + place]]
    assert pairs.valid.all()


def test_momentum_features_weigh_where_they_are_asked_for(tiny_model, random_batch):
    """As BLIP's pretraining has it: an online anchor, partners of the momentum encoder."""
    online = F.one_hot(torch.arange(3), 3).float()  # each is like itself alone
    momentum = online.roll(1, 0)  # feature i is like that of i + 1
    ids, temperature = torch.arange(3)[:, None], torch.tensor(0.01)
    pairs = HardNegatives(compare_with='momentum')(online, online, ids, temperature, None, (momentum, momentum))
    assert pairs.visual_index[3:6].tolist() == pairs.text_index[6:].tolist() == [1, 2, 0]
    given, model = [], tiny_model(shake=True, negatives=dict(type='HardNegatives', compare_with='momentum'))
    draw = model.negatives.forward
    model.negatives.forward = lambda *features: (given.append(features), draw(*features))[1]
    batch = random_batch(size=4)
    model.loss(batch)
    visual, text, _ = model.momentum_features(model.momentum_encoder, batch, batch.target_ids)
    assert torch.equal(given[0][-1][0], visual) and torch.equal(given[0][-1][1], text)
    with pytest.raises(ValueError, match=r"compare_with='momentum' .*add 'univlc' to its losses"):
        model.loss(replace(batch, losses=('vlm',)))


def test_label_data_are_left_out_of_matching_and_language_where_they_are_to_be(tiny_model, random_batch):
    batch = replace(random_batch(size=6), has_label=LABELLED)
    usual = tiny_model()
    assert PretrainingStep(usual, batch).pairs.valid.all()
    losses = [dict(type='UniVLCLoss'), dict(type='MatchingLoss'), dict(type='LanguageLoss', label_data=False)]
    model = tiny_model(losses=losses, negatives=dict(type='HardNegatives', label_data=False))
    for _ in range(20):
        pairs = PretrainingStep(model, batch).pairs
        assert torch.equal(pairs.valid, ~LABELLED.repeat(3))
        used = torch.cat([pairs.visual_index[pairs.valid], pairs.text_index[pairs.valid]])
        assert not LABELLED[used].any()
    language = PretrainingStep(model, batch).language
    kept = TextPrediction(language.tokens[~LABELLED], language.targets[~LABELLED], language.head)
    found = model.losses['lm'](language, LABELLED)
    torch.testing.assert_close(found, usual.losses['lm'](kept, LABELLED))
    assert not torch.isclose(found, usual.losses['lm'](language, LABELLED))
    everything = torch.ones(6, dtype=torch.bool)
    assert model.losses['lm'](language, everything).item() == 0.0
    assert all(value.isfinite() for value in model.loss(replace(batch, has_label=everything)).values())
