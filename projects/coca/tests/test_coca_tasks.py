"""What a CoCa learns beside captions and contrast: classes by one more pooler, and answers behind questions."""

import pytest
import torch
import torch.nn.functional as F
from coca_world import HEADS, SIZE, TEXT_WIDTH, WIDTH, make_batch, make_model, shaken, trunk_config, write_byte_pairs

from omnivl.commands.export.graphs import floats, text_graphs_of
from omnivl.errors import OmniVLError
from omnivl.models.interfaces import Answers, Classifies, Contrasts, Writes, WritesAnswers, offered_by
from omnivl.models.losses import answer_log_likelihoods
from omnivl.structures import VLBatch
from projects.coca.model import CoCaClassifier, CoCaQA


def make_classifier(frozen=False):
    torch.manual_seed(0)
    trunk = dict(type='VisualTrunk', visual_encoder=trunk_config()['visual_encoder'])
    return shaken(CoCaClassifier(trunk=trunk, num_classes=3, frozen=frozen, num_heads=HEADS))


def test_a_class_is_read_from_the_tokens_of_all_frames():
    model = make_classifier().eval()
    clip = torch.randn(2, 3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.classify(VLBatch({'video': clip}))
        frames = [model.trunk.encode(VLBatch({'image': clip[:, t : t + 1]})).tokens for t in range(3)]
        tokens = F.layer_norm(torch.cat(frames, dim=1), (WIDTH,), *norm_of(model.class_pooler.norm_tokens))
        pooler = model.class_pooler
        query = F.layer_norm(pooler.query, (WIDTH,), *norm_of(pooler.norm_query)).expand(2, -1, -1)
        pooled, _ = F.multi_head_attention_forward(
            *(query.transpose(0, 1), tokens.transpose(0, 1), tokens.transpose(0, 1), WIDTH, HEADS),
            in_proj_weight=torch.cat([pooler.attention.query.weight, pooler.attention.key_value.weight]),
            in_proj_bias=torch.cat([pooler.attention.query.bias, pooler.attention.key_value.bias]),
            **dict(bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0),
            out_proj_weight=pooler.attention.proj.weight,
            out_proj_bias=pooler.attention.proj.bias,
        )
        expected = model.head(F.layer_norm(pooled[0], (WIDTH,), *norm_of(model.class_norm)))
    assert torch.allclose(logits, expected, atol=1e-5)
    assert offered_by(model, Classifies) is model and offered_by(model, Contrasts) is None


def norm_of(layer):
    return layer.weight, layer.bias


@pytest.mark.parametrize('frozen', [False, True])
def test_a_frozen_encoder_learns_nothing_and_stays_in_evaluation_mode(frozen):
    model = make_classifier(frozen).train()
    batch = VLBatch({'image': torch.randn(3, 1, 3, SIZE, SIZE)}, labels=torch.tensor([0, 1, 2]))
    model.loss(batch)['loss_class'].backward()
    assert all((parameter.grad is None) == frozen for parameter in model.trunk.parameters())
    heads = (model.class_pooler, model.class_norm, model.head)
    assert all(parameter.grad is not None for part in heads for parameter in part.parameters())
    assert model.trunk.training != frozen and model.class_pooler.training


@pytest.fixture(scope='module')
def answerer(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clip')
    return make_model(model=CoCaQA, folder=folder, vocab_size=write_byte_pairs(folder))


def question_batch(model, questions, padding=0):
    tokenizer = model.tokenizer
    rows = [torch.from_numpy(tokenizer.encode(question, 8)) for question in questions]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row, dtype=torch.bool) for row in rows], batch_first=True)
    batch = make_batch(count=len(questions))
    return VLBatch(batch.inputs, text_ids=F.pad(ids, (0, padding)), text_mask=F.pad(mask, (0, padding)))


QUESTIONS, ANSWERS = ['what colour is it', 'is it red', 'what is it'], ['red', 'a square', 'blue circle']


def naive_log_likelihood(model, batch, row, answer):
    """Read question and answer as one text and add up the answer's tokens."""
    question = batch.text_ids[row][batch.text_mask[row]].tolist()[:-1]
    tokens = model.trunk.encode(VLBatch({'image': batch.frames[row : row + 1]})).tokens
    joined = torch.tensor([question + list(answer)])
    decoded, _ = model.trunk.read_on(joined, model.trunk.writing_key_values(tokens))
    log_probs = model.trunk.text_decoder.head(decoded)[0].log_softmax(1)
    return sum(log_probs[len(question) + place, answer[place + 1]] for place in range(len(answer) - 1)).item()


def test_answers_are_predicted_behind_their_questions(answerer):
    answers = [answerer.tokenizer.encode(answer, 6) for answer in ANSWERS]
    batch = question_batch(answerer, QUESTIONS)
    with torch.no_grad():
        expected = [[naive_log_likelihood(answerer, batch, row, one) for one in answers] for row in range(3)]
        ids = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in answers], batch_first=True)
        mask = torch.arange(ids.shape[1]) < torch.tensor([[len(one)] for one in answers])
        for padding in (0, 2):
            padded = question_batch(answerer, QUESTIONS, padding)
            grouped = answerer.predict_answers(ids.repeat(3, 1), mask.repeat(3, 1), answerer.read_questions(padded))
            found = answer_log_likelihoods(grouped).view(3, 3)
            assert torch.allclose(found, torch.tensor(expected), atol=1e-4)
            owner = torch.tensor([2, 0, 0])
            owned = answer_log_likelihoods(answerer.predict_answers(ids, mask, answerer.read_questions(padded), owner))
            assert torch.allclose(owned, torch.tensor([expected[q][a] for a, q in enumerate(owner)]), atol=1e-4)
            best, scores = answerer.rank_answers(padded, answers)
            assert best.tolist() == torch.tensor(expected).argmax(1).tolist()
            assert torch.allclose(scores, torch.tensor(expected).max(1).values, atol=1e-4)


def test_written_answers_are_those_of_the_full_pass_whatever_the_batch(answerer):
    batch = question_batch(answerer, QUESTIONS)
    with torch.no_grad():
        together = answerer.generate_answers(batch, 'greedy', max_length=3)
        beams = answerer.generate_answers(batch, 'beam', num_beams=3, max_length=3)
        for row in range(3):
            alone = VLBatch({'image': batch.frames[row : row + 1]})
            length = int(batch.text_mask[row].sum())
            alone.text_ids, alone.text_mask = (tensor[row : row + 1, :length] for tensor in batch.texts)
            for method, answers in (('greedy', together), ('beam', beams)):
                ((text, score),) = answerer.generate_answers(alone, method, max_length=3)
                assert text == answers[row][0] and score == pytest.approx(answers[row][1], abs=1e-4)
        # The likeliest first token is that of the full pass.
        writing = answerer.begin(answerer.read_questions(batch))
        logits, _ = writing.step(writing.start_ids, None)
        first = logits.log_softmax(1)
        for token in (3, 50):
            answer = [answerer.tokenizer.cls_id, token]
            for row in range(3):
                expected = naive_log_likelihood(answerer, batch, row, answer)
                assert first[row, token].item() == pytest.approx(expected, abs=1e-4)


def test_a_step_of_several_tokens_is_the_same_as_one_by_one(answerer):
    batch = question_batch(answerer, QUESTIONS)
    with torch.no_grad():
        writing = answerer.begin_answering(answerer.encode(batch).tokens, *batch.texts)
        ids = torch.tensor([[answerer.tokenizer.decoder_id, 3, 50]] * 3)
        whole, _ = writing.step(ids, None)
        cache = None
        for place in range(3):
            single, cache = writing.step(ids[:, place : place + 1], cache)
        assert torch.allclose(whole, single, atol=1e-5)
    assert offered_by(answerer, Answers) is answerer and offered_by(answerer, WritesAnswers) is answerer
    assert offered_by(answerer, Writes) is answerer.trunk


def test_too_long_an_answer_and_a_batch_without_questions_get_their_message(answerer):
    batch = question_batch(answerer, QUESTIONS)
    with pytest.raises(OmniVLError, match='longer than the 12 positions'):
        answerer.generate_answers(batch, 'greedy', max_length=20, min_length=20)
    with pytest.raises(OmniVLError, match='the batch has no questions'):
        answerer.read_questions(VLBatch(batch.inputs))
    with pytest.raises(OmniVLError, match='training needs answers'):
        answerer.loss(batch)


def test_what_reads_texts_becomes_graphs_of_free_lengths(answerer):
    """Texts, with the mask of open_clip's weights, and answers traced for one size and run at another."""
    folder = answerer.tokenizer.vocab_folder
    vocab_size = answerer.tokenizer.vocab_size
    pretrained = make_model(folder=folder, vocab_size=vocab_size, pool='cls_shifted')
    tokens = floats('tokens', 'of a tower', 'visual_tokens', TEXT_WIDTH)
    wanted = [(pretrained, ['text', 'writer']), (answerer, ['answerer'])]
    for model, names in wanted:
        graphs = {graph.name: graph for graph in text_graphs_of(model, tokens)}
        for graph in map(graphs.__getitem__, names):
            first = values_of(graph, vocab_size, batch=3, length=4, visual_tokens=5, answer_length=3)
            other = values_of(graph, vocab_size, batch=2, length=6, visual_tokens=7, answer_length=2)
            free = {}
            for value in graph.inputs:
                axes = [axis for axis, size in enumerate(value.shape) if isinstance(size, str)]
                free[value.name] = dict.fromkeys(axes, torch.export.Dim.AUTO)
            with torch.no_grad():
                program = torch.export.export(graph.module, (), first, dynamic_shapes=free, strict=False).module()
                for found, expected in zip(program(**other), graph.module(**other)):
                    assert torch.allclose(found, expected, atol=1e-5)


def values_of(graph, vocab_size, **sizes):
    draw = torch.Generator().manual_seed(0)
    return {value.name: value.random(sizes, draw, vocab_size) for value in graph.inputs}
