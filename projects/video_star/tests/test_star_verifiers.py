"""Verifiers accept what holds the label and refuse near-misses, all written by hand in ``verdicts.yml``."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from omnivl.errors import OmniVLError
from projects.video_star import verifiers
from projects.video_star.registry import VERIFIERS
from projects.video_star.tools import compare

TABLES = yaml.safe_load(Path(__file__).with_name('verdicts.yml').read_text(encoding='utf-8'))
RULES = {name for name in verifiers.__all__ if name not in ('Entailment', 'Judge', 'SentenceEmbedding')}


def cases(kind):
    return [
        (group, wanted, answer) for group in TABLES[kind] for wanted in ('holds', 'near') for answer in group[wanted]
    ]


@pytest.mark.parametrize('kind', sorted(TABLES))
def test_answers_with_their_label_pass_and_near_misses_do_not(kind):
    wrong = []
    for group, wanted, answer in cases(kind):
        verifier = VERIFIERS.build(dict(type=kind, **group.get('options', {})))
        verdict = verifier(answer, group['truth'], group.get('question', ''))
        if verdict.passed != (wanted == 'holds'):
            wrong.append(f'{wanted}: {answer!r} for {group["truth"]!r}: {verdict.reason}')
    assert not wrong, '\n' + '\n'.join(wrong)


def test_every_verifier_of_rules_has_thirty_of_each():
    assert set(TABLES) == RULES - {'Verdict', 'Verifier'}
    counts = {
        kind: [sum(len(group[wanted]) for group in TABLES[kind]) for wanted in ('holds', 'near')] for kind in TABLES
    }
    assert all(min(count) >= 30 for count in counts.values()), counts


@pytest.mark.parametrize(
    'kind, truth',
    [
        ('Number', '3'),
        ('TimeRange', [0.5, 0.2]),
        ('BoxOverlap', [0.5, 0.5, 0.0, 0.1]),
        ('ClassName', ''),
        ('ClassSequence', 'open door'),
        ('YesNo', 'perhaps'),
        ('SameOrNot', 'They are red.'),
    ],
)
def test_a_label_of_another_type_is_an_error(kind, truth):
    with pytest.raises(OmniVLError, match=f'^{kind} verifies .* give this label another verifier$'):
        VERIFIERS.build(dict(type=kind))('It is 3.', truth)


def test_forms_of_boxes_are_checked():
    with pytest.raises(OmniVLError, match='form must be one of'):
        VERIFIERS.build(dict(type='BoxOverlap', form='middle'))


def test_a_model_is_loaded_when_the_first_answer_is_judged(tmp_path):
    verifier = VERIFIERS.build(dict(type='SentenceEmbedding', model=str(tmp_path / 'none')))  # loads nothing
    assert verifier('', 'a dog runs').reason == 'empty'
    with pytest.raises(OmniVLError, match='none is neither a folder nor a name on the hub that can be read'):
        verifier('a dog runs', 'a dog runs')


class Batch(dict):
    def to(self, device):
        return self


def one_hot(texts, padding=True, truncation=True, return_tensors='pt'):
    words = ('dog', 'cat', 'runs')
    states = torch.tensor([[[float(word in text) for word in words]] for text in texts])
    return Batch(attention_mask=torch.ones(len(texts), 1, dtype=torch.long), states=states)


def test_sentences_are_compared_by_the_cosine_of_their_embeddings():
    verifier = VERIFIERS.build(dict(type='SentenceEmbedding', model='any', cosine=0.9))
    verifier.loaded = one_hot, lambda attention_mask, states: SimpleNamespace(last_hidden_state=states)
    assert verifier('It rains. The dog runs.', 'a dog runs').passed
    assert verifier('A cat runs.', 'a dog runs') == (False, 'cosine 0.50')


def test_entailment_takes_the_likeliest_sentence():
    def tokenizer(said, hypotheses, **options):
        return Batch(scores=torch.tensor([[0.0, 9.0 if 'dog' in one else -9.0] for one in said]))

    verifier = VERIFIERS.build(dict(type='Entailment', model='any'))
    names = SimpleNamespace(id2label={0: 'CONTRADICTION', 1: 'ENTAILMENT'})

    def model(scores):
        return SimpleNamespace(logits=scores)

    model.config = names
    verifier.loaded = tokenizer, model
    assert verifier('It rains. A dog is there.', 'a dog').passed
    assert not verifier('It rains.', 'a dog').passed


def test_a_judge_says_the_likelier_word():
    class Tokenizer:
        def __call__(self, text, return_tensors):
            return Batch(right=torch.tensor('Answer: a dog' in text))

        def encode(self, word, add_special_tokens):
            return [int(word.strip().lower() == 'yes')]

    verifier = VERIFIERS.build(dict(type='Judge', model='any'))
    verifier.loaded = Tokenizer(), lambda right: SimpleNamespace(logits=torch.tensor([[[0.0, float(right) - 0.5]]]))
    assert verifier('a dog', 'a dog', 'What is it?').passed
    assert not verifier('a cat', 'a dog', 'What is it?').passed


def test_the_comparison_runs_on_rules_like_the_published_ones(tmp_path):
    """The published file cannot be here; its functions are stood for by ones that always say yes."""
    (tmp_path / 'verifier.py').write_text(
        '\n'.join(f'def {name}(*arguments):\n    return True' for name in compare.WANTED.split())
    )
    rules = compare.published_rules(tmp_path / 'verifier.py')
    text = compare.report([*compare.drawn_cases(rules, 5), *compare.written_cases(rules)])
    assert '| Number: written |' in text and "'90' for 80: ours False, theirs True" in text
    (tmp_path / 'verifier.py').write_text('')
    with pytest.raises(OmniVLError, match=r'has no abs_float, .*: is it videostar/verifier.py\?'):
        compare.published_rules(tmp_path / 'verifier.py')
