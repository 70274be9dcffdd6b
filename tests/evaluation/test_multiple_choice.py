"""Multiple choice equals a loop over the questions, whatever the batches; ties, wordings and messages."""

import json

import numpy as np
import pytest
import torch
from evaluation_fakes import FakeModel, loader, sample

from omnivl.evaluation import MultipleChoiceEvaluation
from omnivl.registry import EVALUATIONS
from omnivl.structures import VLDataSample

VISUALS, WORDS = 8, 12
# Different numbers of texts, also one only.
CHOICES = [[0, 1, 2, 3, 4], [5, 0, 7, 8, 9], [1, 2], [3], [9, 10, 11], [4, 5, 6, 7, 8], [0, 11, 2, 1], [6, 3]]
ANSWERS = [0, 4, 1, 0, 2, 3, 1, 0]


def make_model(seed=0):
    rng = np.random.default_rng(seed)
    tables = rng.normal(size=(VISUALS, 6)), rng.normal(size=(WORDS, 6)), rng.normal(size=(VISUALS, WORDS))
    return FakeModel(*tables)


def questions(choices=CHOICES, answers=ANSWERS, modality='video'):
    made = []
    for number, (words, answer) in enumerate(zip(choices, answers)):
        one = sample(number, words, modality)
        one.set_metainfo(dict(answer_index=answer))
        made.append(one)
    return made


@pytest.mark.parametrize('score_with', ['match', 'similarity', 'match+similarity'])
@pytest.mark.parametrize('pair_batch', [1, 4, 100])
def test_equals_a_loop_over_the_questions(score_with, pair_batch):
    for seed in range(4):
        model = make_model(seed)
        similarity = (model.visual_features @ model.text_features.T).numpy()
        table = {
            'match': model.match.numpy() - 0.25,
            'similarity': similarity,
            'match+similarity': model.match.numpy() + similarity,
        }[score_with]
        right = 0
        for visual, (words, answer) in enumerate(zip(CHOICES, ANSWERS)):
            scores = [table[visual, word] for word in words]
            right += scores.index(max(scores)) == answer
        evaluation = MultipleChoiceEvaluation(score_with, pair_batch)
        result = evaluation.run(model, loader(questions()), 'video.choice')
        assert result.metrics == {'accuracy': pytest.approx(100 * right / VISUALS)}
        assert result.chance == {'accuracy': pytest.approx(100 * np.mean([1 / len(words) for words in CHOICES]))}
        assert result.predictions[1]['scores'] == pytest.approx([table[1, word] for word in CHOICES[1]], abs=1e-6)
        assert sorted(model.scored) == ([] if score_with == 'similarity' else sorted(pairs()))


def pairs():
    return [(visual, word) for visual, words in enumerate(CHOICES) for word in words]


def test_what_is_written_down():
    result = MultipleChoiceEvaluation().run(make_model(), loader(questions()), 'x')
    row = result.predictions[2]
    assert row['choices'] == ['w1', 'w2'] and row['answer_index'] == 1
    assert row['correct'] == (row['predicted'] == 1) and row['visual'] == '2.jpg'
    protocol = result.protocol
    assert (protocol['questions'], protocol['choices'], protocol['score_with']) == (8, [1, 5], 'match')
    assert (protocol['frames'], protocol['height'], protocol['modality']) == (2, 4, 'video')
    same = MultipleChoiceEvaluation().run(make_model(), loader(questions()[:2]), 'x')
    assert same.protocol['choices'] == 5 and same.chance == {'accuracy': 20.0}
    json.dumps([result.predictions, result.protocol])


def test_a_model_that_says_the_same_of_everything_is_never_right():
    model = FakeModel(np.ones((3, 2)), np.ones((WORDS, 2)))
    for score_with in ('match', 'similarity'):
        found = MultipleChoiceEvaluation(score_with).run(model, loader(questions(CHOICES[:3], ANSWERS)), 'x')
        assert found.metrics['accuracy'] == 0


def test_a_text_with_the_words_of_the_true_one_is_true():
    model = FakeModel(np.eye(2), np.eye(2), np.eye(2))
    result = MultipleChoiceEvaluation().run(model, loader(questions([[0, 0, 1], [0, 1]], [1, 1])), 'x')
    assert result.metrics['accuracy'] == 100 and result.chance['accuracy'] == pytest.approx((200 / 3 + 50) / 2)


def test_a_text_longer_than_others_does_not_change_their_score(tiny_model):
    """Padding and the other questions of the batch have no say."""
    model = tiny_model(shake=True).eval()
    frames = torch.randint(0, 256, (3, 4, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    texts = [['w0', 'w1 w2 w3 w4'], ['w5 w6', 'w7'], ['w1 w2 w3 w4 w5 w6 w7', 'w8']]
    samples = questions(texts, [0, 1, 0])
    for one, words in zip(samples, texts):
        one.caption_ids = [model.trunk.tokenizer.encode(text, 20) for text in words]
    for score_with in ('match', 'similarity', 'match+similarity'):
        evaluation = MultipleChoiceEvaluation(score_with, pair_batch=4)
        together = evaluation.run(
            model, [{'inputs': {samples[0].modality: frames}, 'data_samples': samples}], 'x'
        ).predictions
        for number, one in enumerate(samples):
            part = [{'inputs': {one.modality: frames[number : number + 1]}, 'data_samples': [one]}]
            alone = evaluation.run(model, part, 'x').predictions[0]
            assert alone['scores'] == pytest.approx(together[number]['scores'], abs=1e-5)


def test_builds_from_a_config():
    assert EVALUATIONS.build(dict(type='MultipleChoiceEvaluation', score_with='similarity')).pair_batch == 128


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda one: one.pop('answer_index'),
            "x: sample '0' has 2 texts to choose from and answer_index None; use",
        ),
        (lambda one: one.set_metainfo(dict(captions=[])), "sample '0' has 0 texts to choose from"),
        (lambda one: one.caption_ids.pop(), "sample '0' has 2 texts, but word pieces for 1: TokenizeText must stand"),
        (lambda one: one.set_metainfo(dict(answer_index=2)), "sample '0' has answer_index 2, but 2 texts"),
    ],
)
def test_samples_that_are_no_questions(change, message):
    one: VLDataSample = questions([[0, 1]], [1])[0]
    change(one)
    with pytest.raises(ValueError, match=message):
        MultipleChoiceEvaluation().run(make_model(), loader([one]), 'x')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(score_with='logits'), "score_with is 'logits'; allowed: 'match', 'similarity', 'match.similarity'"),
        (dict(pair_batch=0), 'pair_batch must be at least 1, got 0'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        MultipleChoiceEvaluation(**options)
