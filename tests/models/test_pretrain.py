"""The pretraining model as a whole: sharing, switches, invariances, messages."""

from dataclasses import replace

import pytest
import torch

from omnivl.models.losses import matching_pairs
from omnivl.models.tasks.pretrain import PretrainingStep
from omnivl.registry import MODELS
from omnivl.structures import VLBatch


def total(losses):
    return sum(value for key, value in losses.items() if 'loss' in key)


@pytest.mark.parametrize('modality', ['image', 'video'])
@pytest.mark.parametrize('share', ['blip', 'none'])
def test_every_trained_parameter_gets_a_gradient(share, modality, tiny_model, random_batch):
    model = tiny_model(trunk=dict(share=share), shake=True).train()
    total(model.loss(random_batch(modality=modality))).backward()
    idle = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    if modality == 'image':
        assert idle and all('time' in name or 'video_tokenizer' in name for name in idle)
    else:
        assert all('image_tokenizer' in name for name in idle)


def test_blip_sharing_shares_what_blip_shares(tiny_model):
    trunk = tiny_model(trunk=dict(share='blip')).trunk
    text, align, generate = trunk.text_encoder, trunk.alignment_decoder, trunk.generation_decoder
    assert text.embeddings is align.embeddings is generate.embeddings
    for own, grounded, causal in zip(text.layers, align.layers, generate.layers):
        assert own.self_attention is grounded.self_attention is not causal.self_attention
        assert own.feed_forward is grounded.feed_forward is causal.feed_forward
        assert grounded.cross_attention is causal.cross_attention
    models = {share: tiny_model(trunk=dict(share=share)) for share in ('blip', 'none')}
    count = {share: sum(p.numel() for p in model.parameters()) for share, model in models.items()}
    assert count['blip'] < count['none']


def test_shared_visual_keys_are_made_once(tiny_model, random_batch):
    for share in ('blip', 'none'):
        step = PretrainingStep(tiny_model(trunk=dict(share=share)), random_batch())
        assert (step.writing_key_values is step.match_key_values) == (share == 'blip')


def test_permuting_the_batch_changes_no_loss(tiny_model, random_batch, monkeypatch):
    batch = random_batch(targets=[3, 4, 4, 5])
    order = torch.tensor([2, 0, 3, 1])
    permuted = VLBatch(
        {'image': batch.frames[order]},
        text_ids=batch.text_ids[order],
        text_mask=batch.text_mask[order],
        target_ids=batch.target_ids[order],
    )
    negatives = torch.tensor([1, 0, 3, 2])
    inverse = order.argsort()
    results = []
    for case, negative in ((batch, negatives), (permuted, inverse[negatives[order]])):
        model = tiny_model(shake=True)
        given = (negative, torch.ones(4, dtype=torch.bool))
        monkeypatch.setattr(model.negatives, 'forward', lambda *_, given=given: matching_pairs(given, given))
        results.append(model.loss(case))
    for key, value in results[0].items():
        assert torch.allclose(value, results[1][key], atol=1e-5), key


def test_longer_padding_changes_no_loss(tiny_model, random_batch):
    batch = random_batch()
    padded = replace(
        batch,
        text_ids=torch.nn.functional.pad(batch.text_ids, (0, 5)),
        text_mask=torch.nn.functional.pad(batch.text_mask, (0, 5)),
    )
    results = []
    for case in (batch, padded):
        model = tiny_model(shake=True)
        torch.manual_seed(3)
        results.append(model.loss(case))
    for key, value in results[0].items():
        assert torch.allclose(value, results[1][key], atol=1e-5), key


def test_plain_contrastive_loss_ignores_labels(tiny_model, random_batch):
    equal, unique = random_batch(targets=[1, 1, 1, 1]), random_batch(targets=[1, 2, 3, 4])
    values = [tiny_model(use_labels=False).loss(batch)['loss_univlc'] for batch in (equal, unique)]
    assert torch.equal(*values)
    assert not torch.allclose(tiny_model().loss(equal)['loss_univlc'], values[0])
    model = tiny_model(use_labels=False)
    for _ in range(3):  # the numbers it gives are never used twice
        model.loss(equal)
    assert len(model.queues.target_ids.unique()) == 12


def test_plain_contrastive_loss_tells_batches_of_different_size_apart(tiny_model, random_batch):
    model = tiny_model(use_labels=False)
    for size in (6, 2, 3, 1):  # as images and videos alternate
        model.loss(random_batch(size=size))
    assert len(model.queues.target_ids.unique()) == 12


def test_only_the_losses_asked_for(tiny_model, random_batch):
    language_only = tiny_model(losses=[dict(type='LanguageLoss')])
    assert set(language_only.loss(random_batch())) == {'loss_lm'}
    assert language_only.momentum_encoder is None and set(language_only.parts) == {
        'visual_encoder',
        'generation_decoder',
    }
    contrast_only = tiny_model(losses=[dict(type='UniVLCLoss')])
    assert set(contrast_only.loss(random_batch())) == {'loss_univlc', 'temperature', 'queue_fill'}
    assert not {'alignment_decoder', 'generation_decoder', 'matching_head'} & set(contrast_only.parts)


def test_temperature_is_clamped_to_its_range(tiny_model, random_batch):
    model = tiny_model()
    for value, expected in ((5.0, 0.5), (-1.0, 0.001), (0.2, 0.2)):
        with torch.no_grad():
            model.trunk.temperature.value.fill_(value)
        assert model.loss(random_batch())['temperature'].item() == pytest.approx(expected)


def test_queues_move_in_training_only(tiny_model, random_batch):
    model = tiny_model()
    model.loss(random_batch())
    assert int(model.queues.fill) == 4 and int(model.momentum_encoder.num_updates) == 1
    model(random_batch(), mode='tensor')
    assert int(model.queues.fill) == 4 and int(model.momentum_encoder.num_updates) == 1


def test_matching_scores_the_3b_pairs_in_one_pass(tiny_model, random_batch, monkeypatch):
    model = tiny_model()
    calls = []
    decoder = model.trunk.alignment_decoder
    forward = decoder.forward
    monkeypatch.setattr(decoder, 'forward', lambda *a, **k: calls.append(len(a[0])) or forward(*a, **k))
    model.loss(random_batch(size=4))
    assert calls == [12]


def test_features_are_unit_vectors(tiny_model, random_batch):
    features = tiny_model()(random_batch(), mode='tensor')
    for name in ('visual', 'text'):
        assert torch.allclose(features[name].norm(dim=1), torch.ones(4), atol=1e-6)


def test_position_embeddings_of_a_checkpoint_are_fitted(tiny_model):
    small, large = tiny_model(), tiny_model(trunk=dict(time_stride=2))
    state = small.state_dict()
    large.adapt_state_dict(state)
    large.load_state_dict(state)
    assert large.trunk.visual_encoder.time_embed.shape[1] == 2


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(trunk=dict(share='all')), r"share must be one of \('blip', 'none'\), got 'all'"),
        (dict(parts=('decoder',)), r"a trunk has no parts \['decoder'\]; there are"),
        (
            dict(parts=('matching_head',), losses=[dict(type='LanguageLoss')]),
            r"the parts \['matching_head'\] need \['alignment_decoder'\]; name both or neither",
        ),
        (dict(losses=[]), 'model.losses is empty: give at least one'),
        (dict(losses=[dict(type='MatchingLoss')]), 'negatives chosen by contrastive features that no loss trains'),
        (dict(losses=[dict(type='LanguageLoss')] * 2), r"model.losses has \['lm', 'lm'\]; each loss may be there once"),
        (
            dict(losses=[dict(type='AnswerLoss')]),
            r"AnswerLoss needs \['answers', .* which a step of OmniVLPretrain does not",
        ),
    ],
)
def test_wrong_configs_have_their_message(change, message, tiny_config):
    with pytest.raises(ValueError, match=message):
        MODELS.build(tiny_config(**change))


def test_text_models_of_different_size_cannot_share(tiny_config):
    config = tiny_config()
    config['trunk']['generation_decoder']['depth'] = 1
    with pytest.raises(ValueError, match='one depth'):
        MODELS.build(config)
    config = tiny_config()
    config['trunk']['generation_decoder']['mlp_ratio'] = 2
    with pytest.raises(ValueError, match='feed_forward of TransformerLayer differs in shape'):
        MODELS.build(config)


def test_wrong_batches_and_modes_have_their_message(tiny_model, random_batch):
    model, batch = tiny_model(), random_batch()
    with pytest.raises(ValueError, match='needs a text for every visual'):
        model.loss(VLBatch(batch.inputs))
    with pytest.raises(ValueError, match='a sample has no target_id: use PairDataset'):
        model.loss(replace(batch, target_ids=None))
    with pytest.raises(ValueError, match="mode must be 'loss', 'predict' or 'tensor', got 'train'"):
        model(batch, mode='train')


def test_a_vocabulary_larger_than_the_model_has_its_message(tiny_model, tmp_path):
    model = tiny_model()
    path = tmp_path / 'vocab.txt'
    path.write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *(f'x{i}' for i in range(60))]))
    from omnivl.registry import TOKENIZERS

    model.trunk._tokenizer = TOKENIZERS.build(dict(type='WordPieceTokenizer', vocab_file=str(path)))
    with pytest.raises(ValueError, match=r'the tokenizer has 67 tokens .* embeddings for 34'):
        _ = model.trunk.tokenizer


@pytest.mark.parametrize('share', ['blip', 'none'])
def test_bfloat16_autocast_trains(share, tiny_model, random_batch):
    model = tiny_model(trunk=dict(share=share)).train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model.loss(random_batch(modality='video'))
    total(losses).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses['loss_univlc'].dtype == torch.float32


def test_a_task_computes_the_losses_it_names(tiny_model, random_batch, monkeypatch):
    """Nothing that only the other losses need is computed."""
    model = tiny_model()
    monkeypatch.setattr(model.trunk.generation_decoder, 'forward', None)
    monkeypatch.setattr(model.trunk.alignment_decoder, 'forward', None)
    found = model.loss(replace(random_batch(), losses=('univlc',)))
    assert set(found) == {'loss_univlc', 'temperature', 'queue_fill'}
    model = tiny_model()
    assert set(model.loss(replace(random_batch(), losses=('lm',)))) == {'loss_lm'}
    assert int(model.momentum_encoder.num_updates) == int(model.queues.fill) == 0
