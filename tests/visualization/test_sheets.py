import numpy as np
import pytest
from PIL import Image

from omnivl.visualization.sheets import (
    GAP,
    GOOD,
    PADDING,
    Line,
    card,
    contact_sheet,
    frame_strip,
    wrap_text,
)


def frames(count, height=16, width=24):
    return [np.full((height, width, 3), 40 * number + 20, np.uint8) for number in range(count)]


def colours(picture):
    return {colour for _, colour in picture.convert('RGB').getcolors(1 << 20)}


def test_a_strip_shows_every_frame_in_order():
    strip = np.asarray(frame_strip(frames(3), height=32))
    assert strip.shape == (32, 3 * 48 + 2 * GAP, 3)
    assert [strip[16, 24 + number * (48 + GAP), 0] for number in range(3)] == [20, 60, 100]


def test_small_frames_grow_by_whole_pixels_and_large_ones_shrink():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    grown = np.asarray(frame_strip([pixels], height=50))
    assert grown.shape == (48, 48, 3) and (grown[1::3, 1::3] == pixels).all()
    assert frame_strip(frames(1, 200, 100), height=50).size == (25, 50)


@pytest.mark.parametrize('bad', [[], [np.zeros((4, 4, 3), np.float32)], [np.zeros((4, 4), np.uint8)]])
def test_what_is_no_frame_is_an_error(bad):
    with pytest.raises(ValueError, match=r'at least one frame, uint8 \(H, W, 3\) RGB; got'):
        frame_strip(bad)


def test_text_is_wrapped_and_nothing_is_lost():
    text = 'a green cross moving down near ' + 'x' * 80
    lines = wrap_text(text, width=120)
    assert ''.join(lines).replace(' ', '') == text.replace(' ', '')
    assert len(lines) > 4 and wrap_text('', 50) == ['']
    assert len(wrap_text(text, 5000)) == 1


def test_a_card_grows_with_its_text_and_keeps_its_pictures():
    strip = frame_strip(frames(1), 16)
    plain, said = card([strip]), card([strip], ['a caption', Line('the answer', GOOD)])
    assert said.height > plain.height and said.width == plain.width == 190 + 2 * PADDING
    assert (np.asarray(said)[PADDING : PADDING + 16, PADDING : PADDING + 24] == 20).all()


def test_a_sheet_holds_all_cards_without_overlap():
    sizes = [(200, 50), (300, 80), (100, 20), (500, 40)]
    shades = [(10 * number + 10, 0, 0) for number in range(4)]
    page = contact_sheet([Image.new('RGB', size, shade) for size, shade in zip(sizes, shades)], width=640, title='all')
    counts = {colour: count for count, colour in page.getcolors(1 << 20)}
    assert [counts[shade] for shade in shades] == [width * height for width, height in sizes]
    assert page.width <= 640
    with pytest.raises(ValueError, match='at least one card'):
        contact_sheet([])
