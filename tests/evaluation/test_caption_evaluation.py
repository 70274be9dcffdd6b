"""Captions of a fake model whose words are known, and of the real one with its cache."""

import json

import numpy as np
import pytest
import torch
from evaluation_fakes import FIRST, PAD, SEP, FakeModel, loader, sample

from omnivl.errors import OmniVLValueError
from omnivl.evaluation import CaptionEvaluation
from omnivl.evaluation.captioning import read_slots
from omnivl.models.interfaces import Writing
from omnivl.models.omnivl import prompt_ids

SLOTS = {'colour': ['w0', 'w1', 'w2'], 'shape': ['w3', 'w4']}


class Speaker(FakeModel):
    """Offers Writes: says of each visual what ``says`` has for it; the cache counts the tokens so far."""

    prompt = ''

    def __init__(self, says, vocabulary=20):
        super().__init__(np.eye(len(says)), np.eye(len(says)))
        self.says, self.vocabulary, self.prompts = says, vocabulary, []

    def begin_writing(self, visual_tokens, prompt=None):
        numbers = visual_tokens[:, 0, 0].long()
        start = [4, *prompt_ids(self.tokenizer, self.prompt if prompt is None else prompt)]
        self.prompts.append([start] * len(numbers))
        starts = torch.tensor(self.prompts[-1])
        return Writing(lambda ids, cache: self.step(ids, cache, numbers), lambda cache, i: cache[i], starts, SEP, PAD)

    def step(self, ids, cache, numbers):
        assert len(ids) % len(numbers) == 0
        made = torch.zeros(len(ids), dtype=torch.int64) if cache is None else cache + 1
        visuals = numbers.repeat_interleave(len(ids) // len(numbers))
        logits = torch.zeros(len(ids), self.vocabulary)
        for row, (visual, place) in enumerate(zip(visuals.tolist(), made.tolist())):
            words = [FIRST + word for word in self.says[visual]] + [SEP]
            logits[row, words[min(place, len(words) - 1)]] = 9.0
        return logits, made


def test_captions_scores_and_predictions():
    says = [[0, 3], [1, 4], [], [2, 3, 3]]
    references = [['w0 w3'], ['w2 w4'], ['w0 w3'], ['w9', 'w2 w3']]
    samples = [sample(number, words) for number, words in enumerate(references)]
    result = CaptionEvaluation(slots=SLOTS).run(Speaker(says), loader(samples), 'image.caption')
    expected = {
        'exact': 25.0,
        'words': 100 * (1 + 1 / 2 + 0 + 2 / 3) / 4,
        'slots_colour': 50.0,
        'slots_shape': 75.0,
        'slots': 62.5,
    }
    both = expected | {f'{name}_beam': value for name, value in expected.items()}
    assert result.metrics == pytest.approx(both)
    assert set(result.chance) == set(both)
    assert result.chance['slots_shape'] == 75.0 and result.chance['slots_colour_beam'] == 50.0
    assert [row['greedy'] for row in result.predictions] == ['w0 w3', 'w1 w4', '', 'w2 w3 w3']
    assert [row['beam'] for row in result.predictions] == ['w0 w3', 'w1 w4', '', 'w2 w3 w3']
    assert result.predictions[3]['references'] == ['w9', 'w2 w3']
    assert result.predictions[0]['visual'] == '0.jpg'
    assert all(-0.1 < row['score'][method] < 0 for row in result.predictions for method in ('greedy', 'beam'))
    assert json.loads(json.dumps(result.predictions)) == result.predictions
    assert result.protocol['methods'] == {'greedy': {}, 'beam': {'num_beams': 3}}
    assert (result.protocol['visuals'], result.protocol['captions'], result.protocol['frames']) == (4, 5, 2)


def test_prompt_and_lengths():
    model = Speaker([[0, 1, 2]] * 2)
    samples = [sample(0, ['w0 w1']), sample(1, ['w2'])]
    evaluation = CaptionEvaluation(methods={'greedy': {}}, prompt='w7 w8', max_length=2)
    result = evaluation.run(model, loader(samples), 'x')
    assert model.prompts == [[[4, FIRST + 7, FIRST + 8]] * 2]
    assert [row['greedy'] for row in result.predictions] == ['w0 w1'] * 2
    assert prompt_ids(model.tokenizer, '') == []
    longer = CaptionEvaluation(methods={'greedy': {}}, min_length=6).run(model, loader(samples), 'x')
    assert all(len(row['greedy'].split()) <= 6 for row in longer.predictions)


def test_one_visual_with_one_caption():
    result = CaptionEvaluation().run(Speaker([[0]]), loader([sample(0, ['w0'])]), 'x')
    assert result.metrics == {'exact': 100.0, 'words': 100.0, 'exact_beam': 100.0, 'words_beam': 100.0}
    assert result.chance == result.metrics


def test_a_slot_without_values_is_left_out():
    result = CaptionEvaluation(slots=SLOTS).run(Speaker([[0]]), loader([sample(0, ['w0'])]), 'x')
    assert 'slots_shape' not in result.metrics and result.metrics['slots'] == 100


def test_nucleus_is_seeded():
    samples = [sample(number, ['w0']) for number in range(4)]

    def captions(seed):
        evaluation = CaptionEvaluation(methods={'nucleus': {'top_p': 1.0, 'temperature': 8.0, 'seed': seed}})
        result = evaluation.run(Speaker([[0]] * 4), loader(samples), 'x')
        return [row['nucleus'] for row in result.predictions]

    assert captions(3) == captions(3) != captions(4)


@pytest.mark.parametrize('batch_size', [1, 4])
def test_real_model_says_the_same_with_and_without_its_cache(tiny_model, batch_size):
    """The evaluation's caption equals a loop that runs the whole text through the decoder for every new token."""
    model = tiny_model(shake=True).eval()
    frames = torch.randint(0, 256, (4, 1, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    samples = [sample(number, ['w0 w1']) for number in range(4)]
    data = [
        {'inputs': {'image': frames[start : start + batch_size]}, 'data_samples': samples[start : start + batch_size]}
        for start in range(0, 4, batch_size)
    ]
    result = CaptionEvaluation(max_length=6).run(model, data, 'x')
    tokenizer = model.trunk.tokenizer
    for number, row in enumerate(result.predictions):
        batch = model.data_preprocessor(
            {'inputs': {'image': frames[number : number + 1]}, 'data_samples': samples[:1]}
        )['batch']
        with torch.no_grad():
            key_values = model.trunk.writing_key_values(model.encode(batch).tokens)
            ids = [tokenizer.decoder_id]
            while len(ids) < 7 and ids[-1] != tokenizer.sep_id:
                ids.append(int(model.trunk.generation_decoder.step(torch.tensor([ids]), None, key_values)[0].argmax()))
        assert row['greedy'] == tokenizer.decode(ids)


class TestSlots:
    def test_by_modality_by_file_and_plain(self, tmp_path):
        by_modality = {'image': SLOTS, 'video': {'action': ['w1']}}
        path = tmp_path / 'slots.json'
        path.write_text(json.dumps(by_modality))
        for slots in (by_modality, str(path), path):
            assert set(read_slots(slots, 'image').patterns) == {'colour', 'shape'}
            assert set(read_slots(slots, 'video').patterns) == {'action'}
        assert set(read_slots(SLOTS, 'video').patterns) == {'colour', 'shape'}
        assert read_slots(None, 'image') is None

    def test_file_is_read_late(self):
        CaptionEvaluation(slots='nowhere/slots.json')

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'no slots at .*slots\.json: set slots of CaptionEvaluation to'):
            read_slots(str(tmp_path / 'slots.json'), 'image')

    @pytest.mark.parametrize('content', [b'{', b'{"shape": ["\xff"]}'])
    def test_no_json(self, tmp_path, content):
        (tmp_path / 'slots.json').write_bytes(content)
        with pytest.raises(OmniVLValueError, match=r'slots\.json is not JSON: '):
            read_slots(tmp_path / 'slots.json', 'image')

    def test_other_modality(self):
        with pytest.raises(
            ValueError, match=r"slots has slots for \['image'\], but the visuals are of modality 'video'"
        ):
            read_slots({'image': SLOTS}, 'video')


@pytest.mark.parametrize(
    ('methods', 'message'),
    [
        ({}, r"methods is empty; allowed are \['beam', 'greedy', 'nucleus'\]"),
        ({'best': {}}, "methods has 'best'; allowed are"),
        ({'beam': {'beams': 3}}, "method 'beam' has no option 'beams'; allowed: "),
        ({'nucleus': {}}, r"method 'nucleus' needs top_p or top_k, e\.g\."),
    ],
)
def test_methods_that_are_none(methods, message):
    with pytest.raises(ValueError, match=message):
        CaptionEvaluation(methods=methods)


def test_visual_without_captions():
    with pytest.raises(ValueError, match="x: sample '0' has no captions to compare with; use a RetrievalDataset"):
        CaptionEvaluation().run(Speaker([[0]]), loader([sample(0, [])]), 'x')
