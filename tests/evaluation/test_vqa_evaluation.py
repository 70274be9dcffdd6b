"""The protocols of question answering: figures by hand, chance, what is written down, messages."""

import hashlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from omnivl.models import VLDataPreprocessor
from omnivl.registry import EVALUATIONS
from omnivl.structures import VLBatch, VLDataSample

LIST = ['yes', 'no', 'two', 't-shirt']


class Tokenizer:
    """One id per word; a hyphen is a word of its own, as for BERT."""

    words: tuple[str, ...] = ('yes', 'no', 'two', 't', '-', 'shirt', 'cat')

    def encode(self, text, max_length):
        return np.array([2, *(5 + self.words.index(word) for word in text.replace('-', ' - ').split()), 3])

    def decode(self, ids):
        return ' '.join(self.words[token - 5] for token in ids if token >= 5)


class Answering(nn.Module):
    """Offers Answers: says of visual n what ``said[n]`` is, from the list if it is there, and freely."""

    def __init__(self, said):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.said, self.tokenizer, self.calls = said, Tokenizer(), []

    def data_preprocessor(self, data, training):
        return {
            'batch': VLBatch({name: values.float() for name, values in data['inputs'].items()}),
            'data_samples': data['data_samples'],
        }

    def encode(self, batch):
        raise NotImplementedError

    def read_questions(self, batch):
        self.calls.append((self.training, torch.is_grad_enabled()))
        return batch.frames[:, 0, 0, 0, 0].long().tolist()

    def rank_answers(self, batch, answer_ids, k, *, questions):
        self.k = k
        texts = [self.tokenizer.decode(ids) for ids in answer_ids]
        index = [texts.index(self.said[number]) if self.said[number] in texts else 0 for number in questions]
        return torch.tensor(index), torch.full((len(index),), -1.5)

    def generate_answers(self, batch, method, *, num_beams, max_length, questions):
        self.method = method
        return [(self.said[number], -0.5) for number in questions]


def sample(number, question='is it?', answers=None, modality='image', **types):
    meta = dict(
        sample_id=str(number), source='qa', visual=f'{number // 2}.jpg', modality=modality, question=question,
        question_id=number, **types,
    )  # fmt: skip
    return VLDataSample(metainfo=meta | (dict(answers=answers) if answers else {}))


def loader(samples, batch_size=3):
    parts = [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]
    return [
        {
            'inputs': {
                part[0].modality: torch.tensor([int(s.sample_id) for s in part])
                .view(-1, 1, 1, 1, 1)
                .expand(-1, 2, 3, 4, 6)
            },
            'data_samples': part,
        }
        for part in parts
    ]


def build(protocol='vqav2', answer_list=LIST, **options):
    return EVALUATIONS.build(dict(type='QAEvaluation', protocol=protocol, answer_list=answer_list, **options))


VQA = [
    sample(0, answers=[*['yes'] * 7, *['no'] * 3], answer_type='yes/no', question_type='is it'),
    sample(1, answers=['no'] * 10, answer_type='yes/no', question_type='is it'),
    sample(2, 'how many?', [*['2'] * 9, '3'], answer_type='number', question_type='how many'),
    sample(3, 'what is it?', ['t-shirt'] * 10, answer_type='other', question_type='what'),
]


def test_vqa_figures_by_hand():
    """'no' has three of ten: 0.9. 'two' is 2 where people disagree. The list spells 't - shirt' as people do."""
    model = Answering(['no', 'no', 'two', 't - shirt'])
    result = build(methods=('rank', 'generate')).run(model, loader(VQA))
    expected = dict(accuracy=97.5, accuracy_yes_no=95.0, accuracy_number=100.0, accuracy_other=100.0)
    expected |= {f'{key}_generated': value for key, value in expected.items()}
    assert result.metrics == pytest.approx(expected)
    # Without looking: always 'no' to 'is it', and each other type has one question only.
    assert result.chance == pytest.approx(expected)
    assert set(model.calls) == {(False, False)} and model.training
    row = result.predictions[3]
    assert row['rank'] == row['generate'] == 't-shirt' and row['score'] == {'rank': -1.5, 'generate': -0.5}
    assert row['answers'] == ['t-shirt'] * 10 and 'shape' not in row
    assert result.protocol['questions'] == 4 and result.protocol['k'] == 4 and result.protocol['frames'] == 2
    assert result.protocol['protocol'] == 'VQAv2 soft accuracy, official rule'
    assert model.k == 128 and model.method == 'beam'
    json.dumps([result.predictions, result.protocol])


def test_chance_is_the_best_constant_answer_to_each_type_of_question():
    samples = [sample(number, answers=['yes'] * 10) for number in range(3)]
    samples += [sample(3, answers=['no'] * 10), sample(4, 'how many are there?', ['two'] * 10)]
    result = build().run(Answering(['no'] * 5), loader(samples))
    assert result.chance == {'accuracy': 80.0} and result.metrics == {'accuracy': 20.0}


def test_exact_match_counts_answers_outside_the_list_as_wrong():
    samples = [
        sample(0, 'what is it doing?', ['Yes'], 'video'),
        sample(1, 'what is it doing?', ['cat'], 'video'),
        sample(2, 'who is it?', ['no'], 'video'),
        sample(3, 'who is it?', ['t-shirt'], 'video'),
    ]
    model = Answering(['yes', 'cat', 'two', 't - shirt'])
    result = build('exact', methods=('rank', 'generate'), num_beams=1).run(model, loader(samples))
    expected = dict(accuracy=50.0, accuracy_what=50.0, accuracy_who=50.0)
    assert result.metrics == expected | {f'{key}_generated': value for key, value in expected.items()}
    assert result.protocol['answers_outside_the_list'] == 1 and model.method == 'greedy'
    free = build('exact', None, methods=('generate',)).run(model, loader(samples))
    # Without a list 'cat' may be right; nothing says how 't - shirt' is spelled.
    assert free.metrics['accuracy_generated'] == 50.0 and free.protocol['answers_outside_the_list'] == 0
    assert free.predictions[1]['generate'] == 'cat' and free.predictions[3]['generate'] == 't - shirt'


def test_types_by_first_words():
    samples = [sample(number, 'what is it?', ['yes'], 'video') for number in range(150)]
    samples += [sample(150, 'Where is it?', ['no'], 'video'), sample(151, 'what color?', ['no'], 'video')]
    model = Answering(['yes'] * 152)
    assert set(build('exact').run(model, loader(samples)).metrics) == {'accuracy', 'accuracy_what'}
    fine = build('exact', type_words=2).run(model, loader(samples[:1] + samples[150:]))
    assert fine.metrics['accuracy_what_is'] == 100.0 and fine.metrics['accuracy_what_color'] == 0.0


def test_published_answer_types_come_first():
    samples = [sample(0, answers=['yes'], modality='video', answer_type='action')]
    assert set(build('exact').run(Answering(['yes']), loader(samples)).metrics) == {'accuracy', 'accuracy_action'}


def test_a_test_set_without_answers_has_predictions_and_what_the_server_takes():
    samples = [sample(number) for number in (3, 10, 2)]
    evaluation = build(methods=('generate', 'rank'))
    result = evaluation.run(Answering(['yes'] * 2 + ['no'] * 9), loader(samples))
    assert result.metrics == {} and result.chance == {}
    expected = [{'question_id': number, 'answer': 'no'} for number in (2, 3, 10)]
    assert evaluation.submission(result.predictions) == expected
    result.predictions[0]['generate'] = 'written'
    assert evaluation.submission(result.predictions)[0]['answer'] == 'written', 'the first method is submitted'
    assert evaluation.submission([]) == [] and evaluation.submission_name('image.qa') == 'image.qa.json'
    assert build('exact').submission(result.predictions) is None, 'video QA has no server'
    with pytest.raises(ValueError, match=r'question 1 has no answers .1 of 2 have none.: all questions'):
        build().run(Answering(['yes'] * 2), loader([sample(0, answers=['yes']), sample(1)]))


@pytest.mark.parametrize('protocol', ['vqav2', 'exact'])
@pytest.mark.parametrize('answer_list', [LIST, None])
def test_empty_answers_are_wrong_and_nothing_worse(protocol, answer_list):
    """Also as the only question there is, of an answer outside the list."""
    samples = [sample(0, 'what?', ['cat'] * 10)]
    evaluation = build(protocol, answer_list, methods=('generate',))
    result = evaluation.run(Answering(['']), loader(samples))
    assert result.metrics['accuracy_generated'] == 0 and result.predictions[0]['generate'] == ''
    assert result.protocol['questions'] == 1
    assert result.protocol['answers_outside_the_list'] == (0 if answer_list is None else 1)


def test_the_list_may_be_a_file(tmp_path):
    (tmp_path / 'answers.json').write_text(json.dumps(LIST))
    evaluation = build(answer_list=str(tmp_path / 'answers.json'))
    result = evaluation.run(Answering(['no']), loader([sample(0)]))
    assert result.predictions[0]['rank'] == 'no'
    checksum = hashlib.sha256((tmp_path / 'answers.json').read_bytes()).hexdigest()
    assert result.protocol['answer_list'] == dict(file=str(tmp_path / 'answers.json'), sha256=checksum)
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.json' does not exist; set 'answer_list'"):
        build(answer_list='nowhere.json').run(Answering(['no']), loader([sample(0)]))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(protocol='vqa'), "protocol must be one of .*got 'vqa'"),
        (dict(methods=()), r'methods must be some of .*got \[\]'),
        (dict(methods=('guess',)), r"methods must be some of .*got \['guess'\]"),
        (dict(answer_list=None), "method 'rank' needs an answer_list"),
        (dict(rule='new'), "rule must be one of .*got 'new'"),
        (dict(k=0), 'k, num_beams, max_length and type_words must be at least 1'),
    ],
)
def test_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_with_a_model_it_does_not_depend_on_the_batch_size(tiny_model, random_batch):
    model = tiny_model(type='OmniVLQA', shake=True)
    batch = random_batch(size=5)
    samples = [sample(number, answers=['w1'] * 10) for number in range(5)]
    for packed, ids, mask in zip(samples, batch.text_ids, batch.text_mask):
        packed.text_ids = ids[mask].numpy()
    pixels = torch.randint(0, 256, (5, 1, 3, 32, 32), dtype=torch.uint8)
    assert isinstance(model.data_preprocessor, VLDataPreprocessor)
    results = []
    for size in (1, 2, 5):
        data = [
            {'inputs': {'image': pixels[start : start + size]}, 'data_samples': samples[start : start + size]}
            for start in range(0, 5, size)
        ]
        evaluation = build(answer_list=['w1', 'w2 w3', 'w4', 'w5'], methods=('rank', 'generate'))
        results.append(evaluation.run(model, data).predictions)
    for other in results[1:]:
        for first, second in zip(results[0], other):
            assert (first['rank'], first['generate']) == (second['rank'], second['generate'])
            assert first['score'] == pytest.approx(second['score'], abs=1e-4)
