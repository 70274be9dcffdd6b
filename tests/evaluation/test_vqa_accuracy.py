"""VQAv2's soft accuracy: its rule by hand, its quirks, and a naive version of the official loop."""

import random
import re

import pytest

from omnivl.evaluation.vqa_accuracy import CONTRACTIONS, NUMBERS, normalise_words, soft_accuracy, strip_marks


def ten(*answers):
    """Ten answers: those given, and then different ones that nobody predicts."""
    return [*answers, *(f'other{number}' for number in range(10 - len(answers)))]


@pytest.mark.parametrize(('matches', 'expected'), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_leave_one_out(matches, expected):
    """Three of ten give 0.9, not 1: each annotator is compared with the nine others."""
    assert soft_accuracy('dog', ten(*['dog'] * matches)) == pytest.approx(expected)
    assert soft_accuracy('dog', ten(*['dog'] * matches), rule='lavis') == pytest.approx(expected)


def test_fewer_annotators():
    assert soft_accuracy('dog', ['dog']) == 0.0  # nobody is left who agrees
    assert soft_accuracy('dog', ['dog'] * 4) == 1.0
    assert soft_accuracy('dog', ['dog', 'cat']) == pytest.approx((0 + 1 / 3) / 2)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('yes.', 'yes'),
        ('3.5', '3.5'),
        ('t-shirt', 't shirt'),
        ('t- shirt', 't shirt'),
        ('left/right', 'left right'),
        ('a , b', 'a  b'),
        ('1,000 men/women', '1000 menwomen'),  # a comma between digits lets every mark vanish
        ("it's", "it's"),
        ('12:30', '12:30'),
        ('.' * 40, '.' * 8),  # 32 at most
    ],
)
def test_marks(text, expected):
    assert strip_marks(text) == expected


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('The Cat', 'cat'),
        ('two a dogs', '2 dogs'),
        ('none', '0'),
        ('dont know', "don't know"),
        ('Im', 'im'),
        ("somebody'd", 'somebodyd'),
        ('  ten   an ', '10'),
    ],
)
def test_words(text, expected):
    assert normalise_words(text) == expected


def test_the_two_revisions_differ_where_all_agree_and_where_articles_are():
    agreed = ['the cat'] * 10
    assert soft_accuracy('the cat', agreed) == 1.0 and soft_accuracy('cat', agreed) == 0.0
    assert soft_accuracy('the cat', agreed, 'lavis') == 0.0  # can never be matched
    mixed = [*['the cat'] * 9, 'dog']
    assert soft_accuracy('a cat', mixed) == 1.0
    assert soft_accuracy('a cat', mixed, 'lavis') == 0.0
    assert soft_accuracy('Two.', [*['2'] * 9, 'dog']) == 1.0
    assert soft_accuracy(' cat\n', [*['cat\t'] * 9, 'dog']) == 1.0


def test_messages():
    with pytest.raises(ValueError, match=r"rule must be one of .*got 'newest'"):
        soft_accuracy('a', ['a'], 'newest')
    with pytest.raises(ValueError, match='there are no answers to compare with'):
        soft_accuracy('a', [])


def naive_marks(text):
    result = text
    for mark in ';/[]"{}()=+\\_-><@`,?!':
        if mark + ' ' in text or ' ' + mark in text or re.search(r'(\d)(\,)(\d)', text):
            result = result.replace(mark, '')
        else:
            result = result.replace(mark, ' ')
    return re.sub(r'(?!<=\d)(\.)(?!\d)', '', result, count=32)


def naive_words(text):
    words = [NUMBERS.get(word, word) for word in text.lower().split()]
    words = [word for word in words if word not in ('a', 'an', 'the')]
    return ' '.join(CONTRACTIONS.get(word, word) for word in words)


def naive(prediction, answers, rule):
    """The loop of the evaluation code, over the ten dicts that differ in their answer_id."""
    truth = [{'answer': answer, 'answer_id': number} for number, answer in enumerate(answers)]
    prediction = prediction.replace('\n', ' ').replace('\t', ' ').strip()
    if rule == 'official':
        for item in truth:
            item['answer'] = item['answer'].replace('\n', ' ').replace('\t', ' ').strip()
    else:
        prediction = naive_words(naive_marks(prediction))
    if len({item['answer'] for item in truth}) > 1:
        for item in truth:
            item['answer'] = naive_marks(item['answer'])
            if rule == 'official':
                item['answer'] = naive_words(item['answer'])
        if rule == 'official':
            prediction = naive_words(naive_marks(prediction))
    scores = []
    for left_out in truth:
        others = [item for item in truth if item != left_out]
        scores.append(min(1, sum(item['answer'] == prediction for item in others) / 3))
    return sum(scores) / len(scores)


@pytest.mark.parametrize('rule', ['official', 'lavis'])
def test_equals_the_loop_of_the_evaluation_code(rule):
    rng = random.Random(0)
    words = [
        'the',
        'a',
        'cat',
        'Cat',
        'two',
        '2',
        'dont',
        "don't",
        't-shirt',
        't shirt',
        '1,000',
        '3.5',
        'left/right',
        '?',
    ]
    seen = set()
    for _ in range(3000):
        pool = [' '.join(rng.choices(words, k=rng.randint(1, 3))) + rng.choice(['', '.', ' !', '\t']) for _ in range(4)]
        answers = rng.choices(pool, weights=[6, 3, 2, 1], k=rng.choice([1, 3, 10, 10, 10]))
        prediction = rng.choice(pool)
        seen.add(expected := naive(prediction, answers, rule))
        assert soft_accuracy(prediction, answers, rule) == pytest.approx(expected), (prediction, answers)
    assert len(seen) > 5
