"""Verifiers of numbers: which one an answer ends up with, and how near it is to the label."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from omnivl.errors import OmniVLValueError

from ..registry import VERIFIERS
from .base import Verdict, Verifier
from .text import clauses, is_denied, is_hedged, sentences, words_of

NUMBER = re.compile(
    r'(?<![\w.])(?P<clock>\d+(?::\d\d)+)(?![\w:])|'
    r'(?<![\w.])(?P<sign>(?<![\d\])-])[-+\u2212])?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\.\d+|\d+)'
    r'(?P<percent>\s?%| percent)?(?!\w*[:]\d)(?=$|[^\w]|[a-z]{1,3}\b)'
)
# Numbers that only count the lines of an answer: '1. ', '2) ', 'Step 3', 'frame 12'.
MARKERS = re.compile(r'^\s*\(?\d{1,2}[.)]\s+|\b(?:step|frame|frames|stage|scene|part|number|option)\s+#?\d+', re.I)
SPELLED = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve')
BOX = re.compile(r'[\[(]\s*(-?\d*\.?\d+)\s*,\s*(-?\d*\.?\d+)\s*,\s*(-?\d*\.?\d+)\s*,\s*(-?\d*\.?\d+)\s*[\])]')
JOINED = re.compile(
    r'^[^\d]{0,40}?(?:\bto\b|\band\b|\buntil\b|\btill\b|\bthrough\b|-|\u2013|,)[^\d]{0,30}$|^\s*[-\u2013,]\s*$', re.I
)
Box = tuple[float, float, float, float]
BOX_FORMS = ('center', 'corner', 'corners')


class Found(NamedTuple):
    """A number of an answer.

    Attributes:
        value: Of '40%' 0.4, of '1:30' 90.
        begin: Where it begins in its clause.
        end: Where it ends.
    """

    value: float
    begin: int
    end: int


def numbers_in(text: str) -> list[Found]:
    """Find the numbers of a text, small ones in words too, without those that count steps or frames."""
    hidden = MARKERS.sub(lambda match: ' ' * len(match.group()), text)
    found = []
    for match in NUMBER.finditer(hidden):
        if match['clock']:
            value = 0.0
            for part in match['clock'].split(':'):
                value = 60 * value + int(part)
        else:
            value = float(match['digits'].replace(',', ''))
            value = value / 100 if match['percent'] else value
            value = -value if match['sign'] in ('-', '\u2212') else value
        found.append(Found(value, match.start(), match.end()))
    for value, word in enumerate(SPELLED):
        found += [Found(float(value), *match.span()) for match in re.finditer(rf'\b{word}\b(?! of\b)', hidden, re.I)]
    return sorted(found, key=lambda number: number.begin)


def claims_of(answer: str) -> list[tuple[str, list[Found]]]:
    """List the clauses of an answer that state numbers, without the numbers that they deny."""
    found = []
    for sentence in sentences(answer):
        for clause in _number_clauses(sentence):
            stated = [number for number in numbers_in(clause) if not _is_denied(clause, number)]
            if stated:
                found.append((clause, stated))
    return found


def _number_clauses(sentence: str) -> list[str]:
    """Split a sentence into clauses, but no pair or box of numbers: '[0.1, 0.2]' is one."""
    hidden = re.sub(r'[\[(][^\])]*[\])]', lambda match: match.group().replace(', ', ',\x00'), sentence)
    hidden = re.sub(r'(?<=\d), (?=\d)', ',\x00', hidden)
    hidden = re.sub(r'(?<=[\d%]) ([-\u2013]) (?=[\d.])', '\x00\\1\x00', hidden)
    return [clause.replace('\x00', ' ') for clause in clauses(hidden)]


def _is_denied(clause: str, number: Found) -> bool:
    before = words_of(clause[: number.begin])
    words = [*before, *words_of(clause[number.begin : number.end]), *words_of(clause[number.end :])]
    return is_denied(words, len(before), len(before) + len(words_of(clause[number.begin : number.end])) - 1)


def interval_iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection over union of two intervals (start, end); 0 where both are points apart or empty."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    together = max(one[1], other[1]) - min(one[0], other[0])
    return max(shared, 0.0) / together if together > 0 else 0.0


def box_iou(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes (left, top, right, bottom)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared) if areas > shared else 0.0


def corners_of(box: Sequence[float], form: str) -> Box | None:
    """Return (left, top, right, bottom) of a box, see ``BoxOverlap``; None of one without an area."""
    x, y, third, fourth = box
    if form == 'center':
        corners = (x - third / 2, y - fourth / 2, x + third / 2, y + fourth / 2)
    elif form == 'corner':
        corners = (x, y, x + third, y + fourth)
    else:
        corners = (x, y, third, fourth)
    return corners if corners[2] > corners[0] and corners[3] > corners[1] else None


class _NumberVerifier(Verifier):
    """Takes the number that an answer states last; one that it denies is none, and what it leaves open is refused."""

    wanted = 'a number'

    def check_truth(self, truth: Any) -> float:
        """Return a number, not a bool."""
        if isinstance(truth, bool) or not isinstance(truth, int | float):
            raise self.wrong_type(truth, self.wanted)
        return float(truth)

    def last_number(self, answer: str) -> float | Verdict:
        """Return the number that an answer ends up with, or why there is none."""
        stated = claims_of(answer)
        if not stated:
            return Verdict(False, 'no number')
        clause, numbers = stated[-1]
        if is_hedged(clause):
            return Verdict(False, 'leaves it open')
        if _range_in(clause, numbers) is not None:
            return Verdict(False, 'a range, no number')
        return numbers[-1].value


@VERIFIERS.register_module()
class Number(_NumberVerifier):
    """A number with a relative tolerance.

    Args:
        tolerance: Of the label (5 % in the paper, 10 % in its code).
        near_zero: Absolute tolerance, which alone counts for a label of 0.
    """

    def __init__(self, tolerance: float = 0.05, near_zero: float = 0.0) -> None:
        self.tolerance = tolerance
        self.near_zero = near_zero

    def judge(self, answer: str, truth: float) -> Verdict:
        """Compare the last number."""
        found = self.last_number(answer)
        if isinstance(found, Verdict):
            return found
        passed = abs(found - truth) <= max(self.tolerance * abs(truth), self.near_zero) + 1e-9
        return Verdict(passed, f'{found:g} for {truth:g}')


@VERIFIERS.register_module()
class TimeStamp(_NumberVerifier):
    """A point in time, as a share of the clip or in seconds.

    Args:
        tolerance: Largest error, in the unit of the label (0.1 of the clip in the published code).
        longest: Largest time that there is: 1 for shares; None for seconds.
    """

    wanted = 'a time'

    def __init__(self, tolerance: float = 0.1, longest: float | None = 1.0) -> None:
        self.tolerance = tolerance
        self.longest = longest

    def judge(self, answer: str, truth: float) -> Verdict:
        """Compare the last number."""
        found = self.last_number(answer)
        if isinstance(found, Verdict):
            return found
        if found < 0 or (self.longest is not None and found > self.longest):
            return Verdict(False, f'{found:g} is no time of the clip')
        return Verdict(abs(found - truth) <= self.tolerance + 1e-9, f'{found:g} for {truth:g}')


@VERIFIERS.register_module()
class TimeRange(Verifier):
    """A part of a clip, (start, end), in shares of the clip or in seconds.

    Args:
        iou: The intersection over union must be above it (0.5 in the paper).
        longest: Largest time that there is: 1 for shares; None for seconds.
    """

    def __init__(self, iou: float = 0.5, longest: float | None = 1.0) -> None:
        self.iou = iou
        self.longest = longest

    def check_truth(self, truth: Any) -> tuple[float, float]:
        """Return start and end; the end is later."""
        if not isinstance(truth, list | tuple) or len(truth) != 2 or not truth[0] < truth[1]:
            raise self.wrong_type(truth, 'a part of a clip, (start, end)')
        return float(truth[0]), float(truth[1])

    def judge(self, answer: str, truth: tuple[float, float]) -> Verdict:
        """Compare the last pair of times."""
        stated = claims_of(answer)
        for place in range(len(stated) - 1, -1, -1):
            clause, numbers = stated[place]
            # 'It starts at 0.2, and ends at 0.4.': a clause each.
            if (
                len(numbers) == 1
                and place
                and len(stated[place - 1][1]) == 1
                and re.search(r'\bend|stop|until', clause)
            ):
                pair: tuple[float, float] | None = (stated[place - 1][1][0].value, numbers[0].value)
            else:
                pair = _range_in(clause, numbers)
            if pair is None:
                continue
            if is_hedged(clause):
                return Verdict(False, 'leaves it open')
            if not 0 <= pair[0] < pair[1] or (self.longest is not None and pair[1] > self.longest):
                return Verdict(False, f'{pair[0]:g} to {pair[1]:g} is no part of the clip')
            overlap = interval_iou(pair, truth)
            return Verdict(overlap > self.iou, f'{pair[0]:g} to {pair[1]:g}: IoU {overlap:.2f}')
        return Verdict(False, 'no range')


def _range_in(clause: str, numbers: Sequence[Found]) -> tuple[float, float] | None:
    """Return the last two numbers of a clause that are joined as a range: 'from A to B', 'between A and B', 'A - B'."""
    for first, second in reversed(list(pairwise(numbers))):
        between = clause[first.end : second.begin]
        before = clause[: first.begin].lower()
        if not JOINED.match(between):
            continue
        joined = between.lower()
        # 'A and B' alone are two numbers; a comma is a pair in brackets only.
        if re.search(r'\band\b', joined) and not re.search(r'\bbetween\b|\bfrom\b|start|begin|end', before + joined):
            continue
        if joined.strip() == ',' and not re.search(r'[\[(]\s*$', before):
            continue
        return first.value, second.value
    return None


@VERIFIERS.register_module()
class BoxOverlap(Verifier):
    """A box, in shares of the picture.

    Args:
        iou: The intersection over union must be above it (0.5 in the paper).
        form: ``'center'``: centre, width and height (the published code); ``'corner'``: left, top, width and height;
            ``'corners'``: left, top, right and bottom. Of label and answer.
    """

    def __init__(self, iou: float = 0.5, form: str = 'center') -> None:
        if form not in BOX_FORMS:
            raise OmniVLValueError(f'BoxOverlap: form must be one of {BOX_FORMS}, got {form!r}')
        self.iou = iou
        self.form = form

    def check_truth(self, truth: Any) -> Box:
        """Return the corners of a box that has an area."""
        if isinstance(truth, list | tuple) and len(truth) == 4:
            corners = corners_of([float(value) for value in truth], self.form)
            if corners is not None:
                return corners
        raise self.wrong_type(truth, 'a box of four numbers with an area')

    def judge(self, answer: str, truth: Box) -> Verdict:
        """Compare the last box."""
        for sentence in reversed(sentences(answer)):
            for match in reversed(list(BOX.finditer(sentence))):
                before = re.split(r'\bbut\b|;|(?<!\d),|(?<=\])', sentence[: match.start()])[-1]
                after = re.split(r'\bbut\b|;|,', sentence[match.end() :])[0]
                words = [*words_of(before), 'box', *words_of(after)]
                if is_denied(words, len(words_of(before)), len(words_of(before))):
                    continue
                if is_hedged(before) or re.match(r'\s*or\b', sentence[match.end() :]):
                    return Verdict(False, 'leaves it open')
                corners = corners_of([float(value) for value in match.groups()], self.form)
                if corners is None:
                    return Verdict(False, 'a box without an area')
                overlap = box_iou(corners, truth)
                return Verdict(overlap > self.iou, f'IoU {overlap:.2f}')
        return Verdict(False, 'no box')
