"""The alternation: exact shares, seeded, known at any step."""

import pytest

from omnivl.engine.schedule import Mixture, Schedule


@pytest.mark.parametrize(
    ('proportions', 'block'),
    [(dict(image=1, video=1), 2), (dict(image=3, video=1), 4), (dict(image=0.7, video=0.3), 10)],
)
def test_every_block_has_the_exact_shares(proportions, block):
    mixture = Mixture(proportions, seed=0)
    names = [mixture.name_at(step) for step in range(20 * block)]
    total = sum(proportions.values())
    for start in range(0, len(names), block):
        for name, share in proportions.items():
            assert names[start : start + block].count(name) == round(block * share / total)


def test_the_order_follows_from_the_seed_alone():
    orders = [[Mixture(dict(a=2, b=2), seed).name_at(step) for step in range(40)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    backwards = Mixture(dict(a=2, b=2), 0)
    assert [backwards.name_at(step) for step in reversed(range(40))] == orders[0][::-1]


def test_counts_and_steps_agree_with_counting():
    schedule = Schedule([(5, dict(image=1)), (7, dict(image=2, video=1)), (None, dict(video=1, image=3))], seed=3)
    names = [schedule.name_at(step) for step in range(60)]
    assert names[:5] == ['image'] * 5
    for step in range(61):
        counts = schedule.counts_before(step)
        assert all(counts[name] == names[:step].count(name) for name in ('image', 'video'))
    for name in ('image', 'video'):
        for count in range(1, names.count(name) + 1):
            steps = schedule.step_after(name, count)
            assert names[:steps].count(name) == count and names[steps - 1] == name


def test_a_count_that_never_comes_is_an_error():
    with pytest.raises(ValueError, match="never comes to 6 batches of 'image'"):
        Schedule([(5, dict(image=1)), (None, dict(video=1))], seed=0).step_after('image', 6)


def test_a_run_ends_with_whole_proportions():
    schedule = Schedule([(None, dict(image=3, video=2))], seed=5)
    for epochs in (1, 2, 7):
        length = schedule.run_length('image', 3 * epochs)
        assert length == 5 * epochs and schedule.counts_before(length) == dict(image=3 * epochs, video=2 * epochs)
    assert schedule.run_length('image', 4) == schedule.step_after('image', 4)
