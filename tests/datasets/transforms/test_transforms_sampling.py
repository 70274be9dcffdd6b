from fractions import Fraction

import numpy as np
import pytest

from omnivl.datasets.transforms import segment_indices


@pytest.mark.parametrize('available', [*range(1, 40), 300, 10_007])
@pytest.mark.parametrize('wanted', [1, 2, 3, 7, 8, 16, 49])
def test_one_index_from_each_segment(available, wanted):
    middle = segment_indices(available, wanted)
    exact = [int((i + Fraction(1, 2)) * available / wanted) for i in range(wanted)]
    assert middle.tolist() == exact
    rng = np.random.default_rng(available * 100 + wanted)
    for _ in range(5):
        drawn = segment_indices(available, wanted, rng)
        assert drawn.dtype == np.int64 and len(drawn) == wanted
        assert drawn[0] >= 0 and drawn[-1] < available and (np.diff(drawn) >= 0).all()
        for i, index in enumerate(drawn):
            low, high = Fraction(i * available, wanted), Fraction((i + 1) * available, wanted)
            assert int(low) <= index <= min(high, available - 1)


def test_every_frame_is_drawn_equally_often():
    rng = np.random.default_rng(0)
    counts = np.bincount(np.concatenate([segment_indices(10, 4, rng) for _ in range(5000)]), minlength=10)
    assert np.allclose(counts / 5000, 0.4, atol=0.04)


def test_short_clips_repeat_evenly():
    assert segment_indices(1, 4).tolist() == [0, 0, 0, 0]
    assert segment_indices(2, 4).tolist() == [0, 0, 1, 1]
    assert segment_indices(4, 4).tolist() == [0, 1, 2, 3]


def test_largest_draw_stays_inside():
    class AlmostOne:
        def random(self, size):
            return np.full(size, np.nextafter(1.0, 0.0))

    for available in (1, 3, 10, 999):
        assert segment_indices(available, 8, AlmostOne())[-1] == available - 1


@pytest.mark.parametrize(('available', 'wanted'), [(0, 1), (5, 0)])
def test_nothing_to_sample(available, wanted):
    with pytest.raises(ValueError, match='must be at least 1'):
        segment_indices(available, wanted)
