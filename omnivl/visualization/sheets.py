"""Pictures to look at: strips of frames with text, contact sheets.

Every function returns a ``PIL.Image``: a notebook shows it by itself, ``.save('sheet.png')`` writes a file.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from omnivl.errors import OmniVLValueError

# The light colours of the report.
PAGE, CARD, LINE = '#f7f7f5', '#ffffff', '#e2e3e0'
INK, SOFT, GOOD, BAD = '#1c2024', '#5d666f', '#15803d', '#b91c1c'
TEXT_SIZE = 14
GAP = 3  # between the frames of a strip, in pixels
PADDING = 10  # inside a card and between cards, in pixels


class Line(NamedTuple):
    """A line of text under a picture.

    Attributes:
        text: What it says; it is wrapped to the width of the card.
        colour: As PIL takes it.
        size: Height of the letters in pixels.
    """

    text: str
    colour: str = INK
    size: int = TEXT_SIZE


def frame_strip(frames: Sequence[np.ndarray], height: int = 128) -> Image.Image:
    """Put the frames of a clip, uint8 (H, W, 3) RGB each and of one size, side by side; an image is a clip of one.

    The strip is ``height`` pixels high: smaller frames keep their pixels visible and grow by a whole factor. No frames,
    or others than uint8 RGB, are an ``OmniVLValueError``.
    """
    if not len(frames) or any(frame.dtype != np.uint8 or frame.shape[2:] != (3,) for frame in frames):
        got = [f'{frame.dtype} {frame.shape}' for frame in frames[:3]]
        raise OmniVLValueError(f'a strip is made of at least one frame, uint8 (H, W, 3) RGB; got {got or "none"}')
    pictures = [_fit_height(Image.fromarray(np.ascontiguousarray(frame)), height) for frame in frames]
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    strip = Image.new('RGB', (width, max(picture.height for picture in pictures)), CARD)
    left = 0
    for picture in pictures:
        strip.paste(picture, (left, 0))
        left += picture.width + GAP
    return strip


def card(
    strips: Sequence[Image.Image], lines: Sequence[Line | str] = (), frame: str = LINE, min_width: int = 190
) -> Image.Image:
    """Frame one or several strips, one below the other, with text under them.

    A string is a :class:`Line` in the usual colour; ``frame`` is the colour of the frame, ``min_width`` the least width
    of the card inside it in pixels, for the sake of the text.
    """
    width = max([min_width, *(strip.width for strip in strips)])
    texts = [_draw_text(line if isinstance(line, Line) else Line(line), width) for line in lines]
    height = sum(part.height for part in (*strips, *texts)) + GAP * max(len(strips) - 1, 0) + (6 if texts else 0)
    result = Image.new('RGB', (width + 2 * PADDING, height + 2 * PADDING), CARD)
    top = PADDING
    for strip in strips:
        result.paste(strip, (PADDING, top))
        top += strip.height + GAP
    top += 6 - GAP
    for text in texts:
        result.paste(text, (PADDING, top))
        top += text.height
    border = 1 if frame == LINE else 3
    ImageDraw.Draw(result).rectangle((0, 0, result.width - 1, result.height - 1), outline=frame, width=border)
    return result


def contact_sheet(cards: Sequence[Image.Image], width: int = 1480, title: str = '') -> Image.Image:
    """Lay cards of any sizes out in rows, like words on a page, with a title above them.

    ``width``, in pixels, grows to the widest card. No card at all is an ``OmniVLValueError``.
    """
    if not cards:
        raise OmniVLValueError('a contact sheet needs at least one card')
    width = max([width, *(picture.width + 2 * PADDING for picture in cards)])
    rows: list[list[Image.Image]] = [[]]
    used = PADDING
    for picture in cards:
        if rows[-1] and used + picture.width + PADDING > width:
            rows.append([])
            used = PADDING
        rows[-1].append(picture)
        used += picture.width + PADDING
    # A page of few cards is as narrow as they are.
    width = max(sum(picture.width + PADDING for picture in row) for row in rows) + PADDING
    heading = [_draw_text(Line(title, size=TEXT_SIZE + 3), width - 2 * PADDING, PAGE)] if title else []
    height = sum(max(picture.height for picture in row) + PADDING for row in rows) + PADDING
    page = Image.new('RGB', (width, height + sum(part.height + PADDING for part in heading)), PAGE)
    top = PADDING
    for row in [*([part] for part in heading), *rows]:
        left = PADDING
        for picture in row:
            page.paste(picture, (left, top))
            left += picture.width + PADDING
        top += max(picture.height for picture in row) + PADDING
    return page


def _fit_height(picture: Image.Image, height: int) -> Image.Image:
    if picture.height <= height:
        factor = max(height // picture.height, 1)
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    width = max(round(picture.width * height / picture.height), 1)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _draw_text(line: Line, width: int, background: str = CARD) -> Image.Image:
    font = _font(line.size)
    wrapped = wrap_text(line.text, width, line.size)
    step = round(line.size * 1.35)
    picture = Image.new('RGB', (width, step * len(wrapped)), background)
    draw = ImageDraw.Draw(picture)
    for number, text in enumerate(wrapped):
        draw.text((0, number * step), text, line.colour, font)
    return picture


def wrap_text(text: str, width: int, size: int = TEXT_SIZE) -> list[str]:
    """Break a text into at least one line of at most ``width`` pixels, in letters ``size`` pixels high.

    Words that are too wide by themselves are broken.
    """
    font = _font(size)
    lines = ['']
    for word in text.split():
        longer = f'{lines[-1]} {word}'.lstrip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append('')
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append('')
            lines[-1] += letter
    return lines


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
