"""IMP's parts against loops, and the laws of expert choice."""

from dataclasses import replace

import pytest
import torch
from imp_world import (
    WIDTH,
    make_batch,
    make_model,
    naive_choice,
    naive_contrast,
    naive_experts,
    naive_layer,
    trunk_config,
    write_vocabulary,
)

from omnivl.engine.compilation import compile_model
from omnivl.evaluation.base import serving
from omnivl.models.interfaces import Contrasts
from omnivl.registry import MODELS
from omnivl.structures import VLBatch
from projects.imp.model import EncoderLayer, ExpertFeedForward, IMPPretrain, Pair, choose_tokens, pair_loss
from projects.imp.model.experts import group_sizes
from projects.imp.summed import SummedIMPPretrain


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def experts(**options):
    return ExpertFeedForward(WIDTH, 8, **dict(num_experts=4, group_size=10) | options)


@pytest.mark.parametrize('masked', [False, True])
def test_each_expert_takes_its_capacity_of_the_tokens_that_want_it_most(masked):
    probabilities = torch.randn(3, 12, 4).softmax(-1)
    real = torch.rand(3, 12) < 0.6 if masked else None
    gates, index = choose_tokens(probabilities, 5, real)
    assert index.shape == gates.shape == (3, 4, 5)
    for group in range(3):
        expected = naive_choice(probabilities[group], 5, None if real is None else real[group])
        for expert, chosen in enumerate(expected):
            taken = index[group, expert]
            assert len(set(taken.tolist())) == 5  # exactly so many, each once
            found = dict(zip(taken.tolist(), gates[group, expert].tolist()))
            for gate, token in chosen:
                if gate:  # which of the padding is taken makes no difference
                    assert found.pop(token) == pytest.approx(gate)
            assert all(gate == 0 for gate in found.values())


def test_padding_is_never_taken_while_real_tokens_are_there():
    # Real tokens that do not want the expert at all are taken before padding that wants nothing else.
    probabilities = torch.zeros(1, 6, 2)
    probabilities[0, 3:] = 1.0
    real = torch.tensor([[True, True, True, False, False, False]])
    gates, index = choose_tokens(probabilities, 4, real)
    assert set(index[0, 0, :3].tolist()) == {0, 1, 2} and (gates == 0).all()


@pytest.mark.parametrize('options', [{}, dict(groups='sample'), dict(mask_padding=False), dict(capacity_factor=2.0)])
@pytest.mark.parametrize('masked', [False, True])
def test_experts_are_a_loop_over_groups_and_experts(options, masked):
    layer, tokens = experts(**options), torch.randn(3, 7, WIDTH)  # 21 tokens: three groups of 7
    real = torch.arange(7) < torch.tensor([[7], [0], [3]]) if masked else None
    assert torch.allclose(layer(tokens, real), naive_experts(layer, tokens, real), atol=1e-5)


def test_a_group_that_is_filled_up_takes_nothing_else():
    layer, tokens = experts(), torch.randn(1, 11, WIDTH)  # two groups of 6, of which the last token is none
    assert group_sizes(11, 10, 4, 1.0) == (2, 6, 2)
    assert torch.allclose(layer(tokens), naive_experts(layer, tokens), atol=1e-5)


def test_groups_do_not_depend_on_each_other_and_samples_of_one_do():
    tokens = torch.randn(2, 5, WIDTH)
    changed = torch.cat([tokens[:1], 3 * torch.randn(1, 5, WIDTH)])
    apart, own, together = experts(group_size=5), experts(groups='sample'), experts(group_size=10)
    assert torch.equal(apart(tokens)[0], apart(changed)[0])
    assert torch.equal(own(tokens)[0], own(changed)[0])
    assert not torch.allclose(together(tokens)[0], together(changed)[0], atol=1e-3)


def test_a_token_that_no_expert_takes_goes_by_the_residual_alone():
    model = make_model(experts=dict(capacity_factor=0.25))  # an expert in four tokens
    layer, tokens = model.trunk.encoder.layers[1], torch.randn(2, 8, WIDTH)
    _, index = layer.feed_forward.experts.route(layer.feed_forward.norm(tokens).view(1, 16, WIDTH), 1)
    left = sorted(set(range(16)) - set(index.flatten().tolist()))
    assert len(left) >= 12
    out = layer.feed_forward(tokens)
    assert torch.equal(out.view(16, -1)[left], tokens.view(16, -1)[left])


@pytest.mark.parametrize('number', [0, 1], ids=['dense', 'experts'])
@pytest.mark.parametrize('masked', [False, True])
def test_a_layer_of_the_encoder_is_its_loop(number, masked):
    layer, tokens = make_model().trunk.encoder.layers[number], torch.randn(3, 5, WIDTH)
    real = torch.arange(5) < torch.tensor([[5], [2], [0]]) if masked else None
    assert torch.allclose(layer(tokens, real), naive_layer(layer, tokens, real), atol=1e-5)
    biases = [name for name, _ in layer.named_parameters() if 'bias' in name]
    assert not biases  # as published


def test_the_contrast_is_its_loop_and_leaves_out_who_lacks_one_of_the_two():
    model, batch = make_model(), make_batch(count=5)
    step = model.step_type(model, batch)
    names = [pair.name for pair in step.pairs]
    assert names == ['audio_visual', 'text_visual', 'audio_text']
    for pair in step.pairs:
        assert pair.real.sum() == (5 if pair.name == 'text_visual' else 4)
        assert torch.allclose(pair_loss(pair), naive_contrast(pair), atol=1e-5)
    expected = sum(naive_contrast(pair) for pair in step.pairs) / 3
    assert torch.allclose(model.loss(replace(batch, losses=('contrast',)))['loss_contrast'], expected, atol=1e-5)
    factors = make_model(options=dict(pairs=dict(audio_text=0.0, audio_visual=3.0)))
    by_factor = (3 * naive_contrast(step.pairs[0]) + naive_contrast(step.pairs[1])) / 2
    assert torch.allclose(factors.loss(replace(batch, losses=('contrast',)))['loss_contrast'], by_factor, atol=1e-5)


def test_a_text_without_words_is_no_text():
    model, batch = make_model(), make_batch(sound=False, losses=('contrast',))
    batch.text_mask[1, 2:] = False
    (pair,) = model.step_type(model, batch).pairs
    assert pair.real.tolist() == [True, False, True, True]


def test_a_spectrogram_has_positions_in_time_and_over_its_bins():
    spectrogram = dict(
        type='SpectrogramTokenizer', patch_size=(4, 4), log_mel=dict(rate=160, bins=8, frame_length=16, hop_length=8)
    )
    trunk = make_model(audio_encoder=dict(tokenizer=spectrogram, grid=(6, 2))).trunk
    batch = make_batch()
    tokens, real = trunk.audio_encoder(batch.inputs['audio'], batch.masks['audio'])
    assert tokens.shape == (4, 6, WIDTH)  # 12 windows of 8 samples, in three patches over time and two over the bins
    assert real.sum(dim=1).tolist() == [6, 0, 4, 6]


def test_a_batch_without_any_sound_has_a_contrast_of_zero_and_finite_gradients():
    one, other = (torch.randn(3, 8, requires_grad=True) for _ in range(2))
    loss = pair_loss(Pair('audio_text', one, other, torch.tensor(0.2), torch.zeros(3, dtype=torch.bool)))
    loss.backward()
    assert loss == 0 and (one.grad == 0).all() and (other.grad == 0).all()


def test_what_a_silent_clip_sounds_like_and_a_masked_word_say_nothing():
    # Of a dense model: experts have more room where there is more padding.
    dense = dict(encoder=dict(width=WIDTH, depth=2, num_heads=2, qk_norm=True))
    model, batch = make_model(**dense), make_batch(losses=('contrast',))
    changed = make_batch(losses=('contrast',))
    changed.inputs['audio'] = torch.where(batch.masks['audio'], batch.inputs['audio'], 5.0)
    changed.text_ids = torch.where(batch.text_mask, batch.text_ids, 7)
    tail = torch.zeros(4, 3, dtype=torch.bool)
    changed.text_ids = torch.cat([changed.text_ids, tail.long()], dim=1)
    changed.text_mask = torch.cat([batch.text_mask, tail], dim=1)
    # A patch with a real sample in it is real; the mask ends where a patch does.
    assert torch.allclose(model.loss(batch)['loss_contrast'], model.loss(changed)['loss_contrast'], atol=1e-6)


def test_an_image_is_a_clip_of_equal_frames():
    trunk, image = make_model().trunk, make_batch(modality='image', frames=1, sound=False)
    clip = make_batch(modality='video', frames=1, sound=False)
    clip.inputs['video'] = clip.inputs['video'].expand(-1, 2, -1, -1, -1)
    assert torch.equal(trunk.encode(image).pooled, trunk.encode(clip).pooled)
    assert trunk.encode(image).tokens.shape == (4, 4, WIDTH)


def class_model(folder, **options):
    tasks = dict(labels=dict(classes=['red', 'blue circle', 'green'], prompt='a {}', **options))
    return make_model(options=dict(tasks=tasks), vocab_file=write_vocabulary(folder))


def test_classes_are_told_by_their_embedded_names(tmp_path):
    model = class_model(tmp_path)
    batch = make_batch(labels=torch.tensor([2, 0, 1, 1]), task='labels', losses=('class',))
    trunk = model.trunk
    ids = [trunk.tokenizer.encode(text, 12) for text in ('a red', 'a blue circle', 'a green')]
    longest = max(map(len, ids))
    mask = torch.tensor([[True] * len(one) + [False] * (longest - len(one)) for one in ids])
    padded = torch.zeros(3, longest, dtype=torch.long)
    for row, one in zip(padded, ids):
        row[: len(one)] = torch.from_numpy(one)
    names = trunk.embed_text(padded, mask)
    seen = trunk.project_visual(trunk.encode(batch).pooled)
    total = sum(-(seen[i] @ names.T / 0.2).log_softmax(0)[label] for i, label in enumerate(batch.labels.tolist()))
    losses = model.loss(batch)
    assert set(losses) >= {'loss_class', 'temperature_text_visual'} and 'loss_contrast' not in losses
    assert torch.allclose(losses['loss_class'], total / 4, atol=1e-5)
    # Sound alone is told by its names, too, in the space that it shares with texts; and both losses are one step.
    sound = replace(batch, inputs={'audio': batch.inputs['audio']}, losses=None)
    losses = model.loss(sound)
    assert losses['loss_class'] > 0 and losses['loss_contrast'] > 0


def test_several_classes_share_the_probability(tmp_path):
    model = class_model(tmp_path)
    rows = torch.tensor([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]])
    batch = make_batch(labels=rows, task='labels', losses=('class',))
    log = model.step_type(model, batch).class_logits.log_softmax(1)
    expected = -((log[0, 0] + log[0, 1]) / 2 + log[1, 2] + log[3, 0]) / 4
    assert torch.allclose(model.loss(batch)['loss_class'], expected, atol=1e-5)
    batch.labels = rows[:, :2]
    with pytest.raises(ValueError, match=r'classifies among 3 names of model.tasks, and its batch has 2 classes'):
        model.loss(batch)


def test_what_is_shown_is_compared_with_texts():
    batch = make_batch()
    seen, heard = make_model().trunk, make_model(shown='audio').trunk
    assert torch.equal(seen.encode(batch).pooled, heard.encode_source(batch, 'visual').pooled)
    texts = heard.encode_text(*batch.texts).pooled
    assert torch.equal(heard.embed_text(*batch.texts), heard.project(texts, 'text', 'audio'))
    sounds = heard.encode(batch).pooled
    assert torch.equal(heard.project_visual(sounds), heard.project(sounds, 'audio', 'text'))
    first, second = seen.embed_pair(batch, 'video', 'audio')
    assert torch.equal(first, seen.project(seen.encode(batch).pooled, 'visual', 'audio'))
    assert torch.equal(second, seen.project(sounds, 'audio', 'visual'))


def test_sounds_alone_meet_the_texts_of_a_joint_space():
    batch = make_batch()
    alone = VLBatch(dict(audio=batch.inputs['audio']), masks=batch.masks)
    joint, disjoint = make_model(common_space='joint').trunk, make_model().trunk
    sounds = joint.encode(alone).pooled
    assert torch.equal(sounds, joint.encode_source(batch, 'audio').pooled)
    assert torch.equal(joint.project_visual(sounds, alone.modality), joint.project(sounds, 'audio', 'text'))
    with pytest.raises(ValueError, match=r"another vector for audio than for visual: set model.trunk.shown='audio'"):
        disjoint.project_visual(disjoint.encode(alone).pooled, alone.modality)


def test_tokens_are_dropped_by_the_task_and_in_training_alone():
    model = make_model(options=dict(tasks=dict(half=dict(drop=dict(visual=0.5, audio=0.25)), whole={})))
    seen = []
    model.trunk.encoder.register_forward_hook(lambda module, arguments, out: seen.append(out.shape[1]))
    for mode, task in ((True, 'half'), (True, 'whole'), (False, 'half')):
        model.train(mode).loss(make_batch(task=task, losses=('contrast',)))
    assert seen == [4, 4, 6, 8, 6, 6, 8, 6, 6]  # visuals, sounds of 6 patches (of which 4 or 5 stay), texts


def test_spaces_are_one_or_one_for_each_pair():
    disjoint, joint = make_model().trunk, make_model(common_space='joint').trunk
    assert len(disjoint.heads) == 6 and len(joint.heads) == 3 and len(disjoint.temperatures) == 3
    assert serving(make_model(), Contrasts, 'a test').temperature_value() == pytest.approx(0.2)
    deaf = make_model(audio_encoder=None)
    assert sorted(deaf.trunk.heads) == ['text_to_visual', 'visual_to_text']


def test_one_set_of_layers_reads_everything():
    model = make_model()
    assert sum(isinstance(module, EncoderLayer) for module in model.modules()) == 2
    for part in ('visual_encoder', 'text_encoder', 'audio_encoder'):
        assert not any(isinstance(module, EncoderLayer) for module in model.trunk.parts[part].modules())


@pytest.mark.skipif('recompile_limit' not in torch.compile.__kwdefaults__, reason='an older torch has no such option')
def test_layers_are_compiled_once_for_each_shape():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    model = make_model()
    plain = [model.loss(make_batch(count=count, losses=('contrast',)))['loss_contrast'] for count in range(3, 6)]
    shapes = set()
    model.trunk.encoder.register_forward_pre_hook(lambda _, given: shapes.add((given[0].shape, given[1] is None)))
    compile_model(model, dict(scope='blocks', backend=backend, dynamic=False, recompile_limit=64))
    made = []
    for _ in range(2):
        for count, expected in zip(range(3, 6), plain):
            loss = model.loss(make_batch(count=count, losses=('contrast',)))['loss_contrast']
            assert torch.allclose(loss, expected, atol=1e-5)
        made.append(len(graphs))
    torch.compiler.reset()
    assert made[0] == made[1] == 2 * len(shapes) == 12  # layers with and without experts; texts are as long as sounds


def test_what_is_wrong_has_its_line(tmp_path):
    with pytest.raises(ValueError, match=r"groups must be one of \('batch', 'sample'\), got 'token'"):
        experts(groups='token')
    with pytest.raises(ValueError, match='capacity_factor above 0 and at most num_experts; got 4, 10 and 5'):
        experts(capacity_factor=5)
    with pytest.raises(ValueError, match='num_sparse must be from 0 to depth=2, got 3'):
        MODELS.build(dict(trunk_config(), encoder=dict(width=8, depth=2, num_heads=2, num_sparse=3)))
    with pytest.raises(ValueError, match="shown must be 'visual', or 'audio' of a model with an audio_encoder"):
        make_model(shown='audio', audio_encoder=None)
    with pytest.raises(ValueError, match=r"common_space must be one of .*, got 'one'"):
        make_model(common_space='one')
    with pytest.raises(ValueError, match=r"factors of pairs must not be negative, got \{'audio_text': -1\}"):
        make_model(options=dict(pairs=dict(audio_text=-1)))
    with pytest.raises(ValueError, match=r"drop must have shares in \[0, 1\) of .*, got \{'text': 0.5\}"):
        make_model(options=dict(tasks=dict(some=dict(drop=dict(text=0.5)))))
    with pytest.raises(ValueError, match='patches must have as many rows as columns'):
        make_model(visual_encoder=dict(patch_size=(1, 8, 16)))
    model = make_model(options=dict(tasks=dict(some={})))
    with pytest.raises(
        ValueError, match=r"model.tasks.some has \['dropped'\]; allowed are \['drop', 'classes', 'prompt'"
    ):
        make_model(options=dict(tasks=dict(some=dict(dropped=0.5))))
    with pytest.raises(ValueError, match=r"the task 'other' of train_dataloader has no settings .* \['some'\]"):
        model.loss(make_batch(task='other', losses=('contrast',)))
    with pytest.raises(ValueError, match=r"the task 'some' has the loss class, and model.tasks no classes for it"):
        make_model(options=dict(tasks=dict(some={})), vocab_file=write_vocabulary(tmp_path)).loss(
            make_batch(task='some', losses=('class',))
        )
    with pytest.raises(ValueError, match=r'classifies among 3 names of model.tasks, and its batch has the label 3'):
        class_model(tmp_path).loss(make_batch(task='labels', losses=('class',), labels=torch.tensor([0, 3, 1, 1])))
    with pytest.raises(ValueError, match='has samples without a label'):
        class_model(tmp_path).loss(make_batch(task='labels', losses=('class',)))
    with pytest.raises(ValueError, match='a clip of 3 frames cannot be cut into patches of 2'):
        model.trunk.encode(make_batch(frames=3))
    alone = make_batch(losses=('contrast',), sound=False)
    alone.text_ids = alone.text_mask = None
    with pytest.raises(ValueError, match='the task has no pair of modalities to contrast'):
        make_model().loss(alone)
    with pytest.raises(ValueError, match='the batch has sounds and the model no part for them'):
        make_model(audio_encoder=None).loss(make_batch(losses=('contrast',)))
    with pytest.raises(ValueError, match='the tokenizer has 14 tokens, the model has embeddings for 5'):
        _ = make_model(vocab_file=write_vocabulary(tmp_path), text_encoder=dict(vocab_size=5)).trunk.tokenizer


def test_summed_losses_are_the_sums_of_the_tasks(tmp_path):
    options = dict(tasks=dict(labels=dict(classes=['red', 'green']), pairs=dict()))
    torch.manual_seed(0)
    config = dict(trunk=trunk_config(write_vocabulary(tmp_path)), **options)
    model = SummedIMPPretrain(**config).eval()
    tasks = [
        make_batch(task='labels', labels=torch.tensor([0, 1, 1, 0])),
        make_batch(task='pairs', losses=('contrast',), seed=1),
    ]
    alone, together = [model.loss(batch) for batch in tasks], model.loss(tasks)
    assert torch.allclose(together['loss_contrast'], alone[0]['loss_contrast'] + alone[1]['loss_contrast'])
    assert torch.equal(together['loss_class'], alone[0]['loss_class'])
    assert together['temperature_text_visual'] == alone[0]['temperature_text_visual']


def test_settings_of_tasks_stay_where_the_model_was_trained():
    config = dict(trunk=trunk_config(), tasks=dict(labels=dict(classes=['red'])), use_labels=True)
    assert IMPPretrain.for_use(config) == dict(trunk=trunk_config(), use_labels=True)
