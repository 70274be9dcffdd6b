"""CoCa beside a naive reference, and the laws that its decoder keeps."""

import pytest
import torch
import torch.nn.functional as F
from coca_world import LENGTH, QUERIES, SIZE, Naive, make_batch, make_model, trunk_config, write_byte_pairs

from omnivl.errors import OmniVLError
from omnivl.models.generation import beam_search, greedy, nucleus
from omnivl.models.interfaces import Contrasts, Matches, Writes, offered_by
from omnivl.structures import VLBatch
from omnivl.weights.facts import USE, check_facts, model_facts
from projects.coca.model import CoCa, CoCaPretrain

KINDS = [('cascade', 'cls', False), ('parallel', 'cls', False), ('single', 'cls_shifted', True)]


@pytest.mark.parametrize(('kind', 'pool', 'between'), KINDS)
def test_features_logits_and_losses_are_the_naive_ones(kind, pool, between):
    model, batch = make_model(kind=kind, pool=pool, between=between), make_batch()
    trunk, naive = model.trunk, Naive(model.trunk)
    with torch.no_grad():
        visual = trunk.encode(batch)
        read = trunk.encode_text(*batch.texts)
        features = model(batch, mode='tensor')
        prediction = trunk.predict_text(read.tokens, *batch.texts, trunk.writing_key_values(visual.tokens))
        for row in range(len(batch)):
            ids = batch.text_ids[row][batch.text_mask[row]].tolist()
            image_tokens, image = naive.image(batch.frames[row, 0])
            tokens, text = naive.text(ids)
            logits = naive.logits(tokens, image_tokens)
            assert torch.allclose(visual.tokens[row], image_tokens, atol=1e-5)
            assert torch.allclose(features['visual'][row], image, atol=1e-5)
            assert torch.allclose(features['text'][row], text, atol=1e-5)
            assert torch.allclose(read.tokens[row, : len(ids)], tokens, atol=1e-5)
            assert torch.allclose(prediction.logits[row, : len(ids) - 1], logits[:-1], atol=1e-4)
        found, (contrast, captions) = model.loss(batch), naive.losses(batch)
    assert found['loss_contrast'].item() == pytest.approx(contrast.item(), abs=1e-4)
    assert found['loss_lm'].item() == pytest.approx(2 * captions.item(), abs=1e-4)
    assert visual.tokens.shape[1] == (QUERIES - 1 if kind == 'single' else QUERIES)


@pytest.mark.parametrize('pool', ['cls', 'cls_shifted'])
@pytest.mark.parametrize('length', [3, 6, LENGTH])
def test_the_vector_of_a_text_does_not_change_with_padding(pool, length):
    trunk = make_model(pool=pool).trunk
    ids = torch.randint(1, 60, (2, length), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone = trunk.embed_text(ids, torch.ones_like(ids, dtype=torch.bool))
        for more in range(LENGTH - length + 1):
            padded, mask = F.pad(ids, (0, more)), F.pad(torch.ones_like(ids, dtype=torch.bool), (0, more))
            assert torch.allclose(trunk.embed_text(padded, mask), alone, atol=1e-6)
            assert torch.allclose(
                trunk.encode_text(padded, mask).tokens[:, :length], trunk.text_encoder.read(ids)[0], atol=1e-5
            )
        changed = ids.clone()
        changed[:, 1] += 1
        assert not torch.allclose(
            trunk.embed_text(changed % 60, torch.ones_like(ids, dtype=torch.bool)), alone, atol=1e-4
        )


def test_the_two_masks_of_the_appended_token_differ_unless_the_text_is_full():
    plain, shifted = (make_model(pool=pool).trunk for pool in ('cls', 'cls_shifted'))
    for length, equal in ((5, False), (LENGTH, True)):
        ids = torch.randint(1, 60, (2, length), generator=torch.Generator().manual_seed(0))
        mask = torch.ones_like(ids, dtype=torch.bool)
        with torch.no_grad():
            assert torch.allclose(plain.embed_text(ids, mask), shifted.embed_text(ids, mask), atol=1e-5) == equal


def test_a_later_token_changes_no_earlier_logit():
    trunk, batch = make_model().trunk, make_batch()
    with torch.no_grad():
        key_values = trunk.writing_key_values(trunk.encode(batch).tokens)

        def logits(ids):
            tokens = trunk.encode_text(ids, batch.text_mask).tokens
            return trunk.predict_text(tokens, ids, batch.text_mask, key_values).logits

        before = logits(batch.text_ids)
        for place in range(1, 6):
            changed = batch.text_ids.clone()
            changed[:, place] = (changed[:, place] + 7) % 60
            after = logits(changed)
            assert torch.allclose(after[:, :place], before[:, :place], atol=1e-6)
            assert not torch.allclose(after[:, place], before[:, place], atol=1e-4)


@pytest.mark.parametrize('between', [False, True])
def test_steps_with_a_cache_equal_the_full_pass(between):
    trunk, batch = make_model(between=between).trunk, make_batch()
    with torch.no_grad():
        key_values = trunk.writing_key_values(trunk.encode(batch).tokens)
        full, _ = trunk.read_on(batch.text_ids, key_values)
        for split in (1, 2, 4):
            first, cache = trunk.read_on(batch.text_ids[:, :split], key_values)
            found = [first]
            for place in range(split, 7):
                tokens, cache = trunk.read_on(batch.text_ids[:, place : place + 1], key_values, cache)
                found.append(tokens)
            assert torch.allclose(torch.cat(found, dim=1), full, atol=1e-5)
            rest, _ = trunk.read_on(
                batch.text_ids[:, split:], key_values, trunk.read_on(batch.text_ids[:, :split], key_values)[1]
            )
            assert torch.allclose(rest, full[:, split:], atol=1e-5)


def test_a_video_is_the_mean_of_its_frames_and_all_their_tokens():
    trunk, batch = make_model().trunk, make_batch(count=2, modality='video', frames=3)
    with torch.no_grad():
        clip = trunk.encode(batch)
        frames = [trunk.encode(VLBatch({'image': batch.frames[:, t : t + 1]})) for t in range(3)]
        projected = torch.stack([trunk.visual_proj(frame.pooled) for frame in frames]).mean(0)
        assert torch.allclose(clip.tokens, torch.cat([frame.tokens for frame in frames], dim=1), atol=1e-5)
        assert torch.allclose(trunk.project_visual(clip.pooled), F.normalize(projected, dim=1), atol=1e-5)


@pytest.mark.parametrize('kind', ['cascade', 'parallel', 'single'])
@pytest.mark.parametrize(
    ('weights', 'losses'), [((1, 0), ['contrast']), ((0, 2), ['lm']), ((1, 2), ['contrast', 'lm'])]
)
def test_either_loss_can_be_off_and_takes_its_parts_along(kind, weights, losses):
    options = dict(contrastive_weight=weights[0], caption_weight=weights[1])
    model, batch = make_model(kind=kind, options=options).train(), make_batch()
    found = model.loss(batch)
    assert [name for name in found if name.startswith('loss_')] == [f'loss_{name}' for name in losses]
    sum(found[f'loss_{name}'] for name in losses).backward()
    # Nothing is there that this loss does not use: a distributed wrapper would wait for its gradient.
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert ('text_decoder' in model.parts) == bool(weights[1]) and ('text_proj' in model.parts) == bool(weights[0])
    assert (offered_by(model, Contrasts) is None) != bool(weights[0]) and (offered_by(model, Writes) is None) != bool(
        weights[1]
    )
    assert offered_by(model, Matches) is None
    both = make_model(kind=kind).train()
    both.load_state_dict(model.state_dict(), strict=False)
    for name in losses:
        expected = both.loss(batch)[f'loss_{name}'] * (weights[1] / 2 if name == 'lm' else 1)
        assert torch.allclose(found[f'loss_{name}'], expected, atol=1e-5)


def test_a_task_of_the_loop_may_compute_one_loss():
    model, batch = make_model().train(), make_batch()
    batch.losses = ('lm',)
    assert sorted(model.loss(batch)) == ['loss_lm', 'temperature']


def test_labels_may_be_positives_of_each_other():
    model, batch = make_model(options=dict(use_labels=True)), make_batch()
    plain = make_model()
    with torch.no_grad():
        assert torch.allclose(model.loss(batch)['loss_contrast'], plain.loss(batch)['loss_contrast'])
        batch.target_ids = torch.tensor([0, 0, 1, 2])
        assert not torch.allclose(model.loss(batch)['loss_contrast'], plain.loss(batch)['loss_contrast'])


@pytest.fixture(scope='module')
def writer(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clip')
    size = write_byte_pairs(folder)
    return make_model(folder=folder, vocab_size=size)


def test_what_is_written_ends_and_is_what_the_full_pass_says(writer):
    batch = make_batch(count=2)
    tokenizer, trunk = writer.trunk.tokenizer, writer.trunk
    with torch.no_grad():
        tokens = trunk.encode(batch).tokens
        writing = trunk.begin_writing(tokens, 'a photo')
        assert writing.start_ids.tolist() == [[tokenizer.cls_id, *tokenizer.encode('a photo', 9)[1:-1]]] * 2
        found = greedy(writing, max_length=4)
        for row in range(2):
            ids, key_values = writing.start_ids[row].tolist(), trunk.writing_key_values(tokens[row : row + 1])
            for _ in range(4):
                decoded, _ = trunk.read_on(torch.tensor([ids]), key_values)
                ids.append(int(trunk.text_decoder.head(decoded[0, -1]).argmax()))
                if ids[-1] == tokenizer.sep_id:
                    break
            assert found.ids[row] == [one for one in ids[3:] if one != tokenizer.sep_id]
        for search, options in (
            (beam_search, dict(num_beams=3)),
            (nucleus, dict(top_p=0.9)),
            (nucleus, dict(top_k=3)),
        ):
            assert all(len(ids) <= 5 for ids in search(trunk.begin_writing(tokens), max_length=5, **options).ids)
        trunk.text_decoder.norm.bias.copy_(5 * trunk.text_decoder.head.weight[tokenizer.sep_id])
        assert greedy(trunk.begin_writing(tokens), max_length=5).ids == [[], []]


@pytest.mark.parametrize(
    ('changes', 'options', 'message'),
    [
        (dict(kind='both'), {}, r"kind of pooler must be one of .*, got 'both' \(set model.trunk.pooler.kind\)"),
        (dict(kind='single', pooler=dict(kind='single', num_queries=1)), {}, 'needs 2 queries or more, got 1'),
        (dict(pool='first'), {}, r"pool must be one of .*, got 'first' \(set model.trunk.text_encoder.pool\)"),
        ({}, dict(contrastive_weight=0, caption_weight=0), 'one must be above 0'),
        ({}, dict(caption_weight=-1), 'neither may be negative'),
    ],
)
def test_wrong_choices_get_their_message(changes, options, message):
    with pytest.raises(OmniVLError, match=message):
        CoCaPretrain(trunk=trunk_config(**changes), **options)


def test_wrong_parts_and_batches_get_their_message(writer):
    with pytest.raises(OmniVLError, match=r"a CoCa has no parts \['matching_head'\]"):
        make_trunk(['matching_head'])
    with pytest.raises(OmniVLError, match=r"the parts \['text_decoder'\] need \['text_encoder'\]"):
        make_trunk(['pooler', 'text_decoder'])
    batch = make_batch()
    batch.target_ids = None
    with pytest.raises(OmniVLError, match='use_labels=True needs a target_id'):
        make_model(options=dict(use_labels=True)).loss(batch)
    with pytest.raises(OmniVLError, match='needs a text for every visual'):
        make_model().loss(VLBatch({'image': torch.zeros(1, 1, 3, SIZE, SIZE)}))
    with pytest.raises(OmniVLError, match=r'the tokenizer has \d+ tokens, the model has embeddings for 20'):
        make_model(folder=writer.trunk.tokenizer.vocab_folder, vocab_size=20).trunk.begin_writing(torch.zeros(1, 5, 24))
    with pytest.raises(OmniVLError, match='13 tokens is longer than the 12 positions'):
        make_model().trunk.embed_text(torch.ones(1, 13, dtype=torch.int64), torch.ones(1, 13, dtype=torch.bool))


@pytest.mark.parametrize(
    ('changes', 'fact'),
    [
        (dict(kind='parallel'), "kind.pooler is 'cascade' there and 'parallel'"),
        (dict(pool='cls_shifted'), 'pool.text_encoder'),
    ],
)
def test_weights_of_another_pooler_or_mask_are_refused_though_they_have_its_shapes(changes, fact):
    visual_encoder = dict(trunk_config()['visual_encoder'], width=24)  # as wide as the text: no shape would tell
    made, other = make_model(visual_encoder=visual_encoder), make_model(visual_encoder=visual_encoder, **changes)
    assert {k: v.shape for k, v in made.state_dict().items()} == {k: v.shape for k, v in other.state_dict().items()}
    with pytest.raises(OmniVLError, match=fact):
        check_facts(dict(facts=model_facts(made)), other, 'a file', purpose=USE)
    captions = make_model(options=dict(contrastive_weight=0))
    check_facts(dict(facts=model_facts(make_model())), captions, 'a file')


def make_trunk(parts):
    config = trunk_config()
    del config['type']
    return CoCa(**config, parts=parts)
