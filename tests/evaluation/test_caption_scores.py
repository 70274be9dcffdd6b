"""Exact match, words and slots, by hand."""

import pytest

from omnivl.evaluation.caption_scores import (
    Slots,
    caption_metrics,
    chance_metrics,
    is_exact,
    split_words,
    word_accuracy,
)

COLOURS = ['red', 'green', 'blue', 'light blue']
SLOTS = {
    'colour': COLOURS,
    'relation': ['left', 'to the left of', 'above'],
    'action': ['appears', 'disappears', 'moves to the left'],
}


def test_words_have_no_case_and_no_punctuation():
    assert split_words(" It's a RED, left-most  square. ") == ["it's", 'a', 'red', 'left', 'most', 'square']
    assert is_exact('A red square .', ['blue', 'a red square'])
    assert not is_exact('a red', ['a red square'])


@pytest.mark.parametrize(
    ('prediction', 'references', 'expected'),
    [
        ('a red square', ['a red square'], 1.0),
        ('a blue square', ['a red square'], 2 / 3),
        ('a red square here', ['a red square'], 3 / 4),
        ('red square', ['a red square'], 0.0),
        ('', ['a red square'], 0.0),
        ('a red dot', ['a red square', 'a red dot'], 1.0),
        ('', ['...'], 1.0),
    ],
)
def test_word_accuracy(prediction, references, expected):
    assert word_accuracy(prediction, references) == pytest.approx(expected)


def test_slots_are_read_in_order_as_whole_words_longest_first():
    found = Slots(SLOTS).read('A light blue dot disappears to the left of a blue, a redder and a Red one')
    assert found == {
        'colour': ['light blue', 'blue', 'red'],
        'relation': ['to the left of'],
        'action': ['disappears'],
    }


@pytest.mark.parametrize(
    ('prediction', 'expected'),
    [
        ('red blue', (2, 2)),
        ('red green', (1, 2)),
        ('blue red', (0, 2)),
        ('red', (1, 2)),
        ('red blue green', (2, 2)),
        ('', (0, 2)),
    ],
)
def test_values_count_in_their_place(prediction, expected):
    assert Slots({'colour': COLOURS}).hits(prediction, ['a red and a blue thing'])['colour'] == expected


def test_of_several_references_the_best_counts():
    slots = Slots({'colour': COLOURS})
    assert slots.hits('red green', ['blue green red', 'no value', 'red blue']) == {'colour': (1, 2)}
    assert slots.hits('red green', ['blue', 'red green']) == {'colour': (2, 2)}


def test_overall_slots_are_the_mean_over_values_not_over_slots():
    predictions = ['red green above', 'blue']
    references = [['red blue above'], ['blue appears']]
    metrics = caption_metrics(predictions, references, Slots(SLOTS))
    assert metrics == pytest.approx(
        {
            'exact': 0.0,
            'words': 100 * (2 / 3 + 1 / 2) / 2,
            'slots_colour': 100 * 2 / 3,
            'slots_relation': 100.0,
            'slots_action': 0.0,
            'slots': 100 * 3 / 5,
        }
    )


def test_a_slot_that_no_reference_names_is_left_out():
    metrics = caption_metrics(['red'], [['red']], Slots(SLOTS))
    assert set(metrics) == {'exact', 'words', 'slots', 'slots_colour'}


def test_no_slot_at_all():
    with pytest.raises(ValueError, match=r"no reference names a value of the slots \['colour'\]"):
        caption_metrics(['red'], [['nothing']], Slots({'colour': COLOURS}))


def test_chance_is_the_best_constant_caption():
    references = [['red above'], ['red above'], ['blue above'], ['green appears']]
    chance = chance_metrics(references, Slots(SLOTS))
    assert chance == pytest.approx(
        {
            'exact': 50.0,
            'words': 100 * (1 + 1 + 1 / 2 + 0) / 4,
            'slots_colour': 50.0,
            'slots_relation': 100.0,
            'slots_action': 100.0,
            'slots': 100 * (2 + 3 + 1) / 8,
        }
    )
    constant = caption_metrics(['red above'] * 4, references, Slots(SLOTS))
    assert constant['exact'] == chance['exact'] and constant['words'] == pytest.approx(chance['words'])


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({}, 'slots must map names to lists of values'),
        (['red'], 'slots must map names to lists of values'),
        ({'colour': 'red'}, "slot 'colour' must be a list of values, got 'red'"),
        ({'colour': []}, "slot 'colour' must be a list of values"),
        ({'colour': ['red', '!']}, "slot 'colour' has the value '!', which has no word"),
        ({'colour': ['red', 3]}, "slot 'colour' has the value 3, which has no word"),
    ],
)
def test_slots_that_are_none(values, message):
    with pytest.raises(ValueError, match=message):
        Slots(values)
