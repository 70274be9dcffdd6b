"""VQAv2's soft accuracy with all its quirks, so that figures equal those of the official evaluation code.

The rule: an answer scores min(matches / 3, 1), averaged over the ten sets of nine annotators that leave one out. Not
min(c / 3, 1) over all ten, as it is often written: with c = 3 of ten that gives 1, the official rule 0.9.

Two revisions are in use; both change the answers before they are compared (``RULES``):

- ``'official'``: today's code of the VQA team (GT-Vision-Lab/VQA) and its server: both sides are normalised, but only
  if the annotators do not all agree.
- ``'lavis'``: its older revision, which LAVIS and with it many offline figures use: the prediction is always
  normalised, the annotators' answers lose their punctuation only, and only if they disagree. So ten times 'the cat' can
  never be matched.

Quirks of the normalisation that are kept: a mark vanishes where any of its kind stands next to a space, or a comma
between digits is anywhere in the text, and becomes a space otherwise; at most 32 full stops are removed; capital
contractions ('Im') are looked up in lower case and so never found; "somebody'd" loses its apostrophe.
"""

import re
from collections.abc import Sequence

from omnivl.errors import OmniVLValueError

RULES = ('official', 'lavis')
MARKS = ';/[]"{}()=+\\_-><@`,?!'
FULL_STOP = re.compile(r'\.(?!\d)')
MOST_FULL_STOPS = 32  # the official code passes re.UNICODE, which is 32, in the place of the count
DIGIT_COMMA = re.compile(r'\d,\d')
ARTICLES = frozenset({'a', 'an', 'the'})
_DIGITS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten')
NUMBERS = {'none': '0'} | {word: str(number) for number, word in enumerate(_DIGITS)}
# Written form, then what it stands for.
_CONTRACTIONS = """
    aint:ain't arent:aren't cant:can't couldve:could've couldnt:couldn't couldn'tve:couldn't've couldnt've:couldn't've
    didnt:didn't doesnt:doesn't dont:don't hadnt:hadn't hadnt've:hadn't've hadn'tve:hadn't've hasnt:hasn't
    havent:haven't hed:he'd hed've:he'd've he'dve:he'd've hes:he's howd:how'd howll:how'll hows:how's isnt:isn't
    itd:it'd itd've:it'd've it'dve:it'd've itll:it'll maam:ma'am mightnt:mightn't mightnt've:mightn't've
    mightn'tve:mightn't've mightve:might've mustnt:mustn't mustve:must've neednt:needn't notve:not've oclock:o'clock
    oughtnt:oughtn't ow's'at:'ow's'at 'ows'at:'ow's'at 'ow'sat:'ow's'at shant:shan't shed've:she'd've she'dve:she'd've
    shouldve:should've shouldnt:shouldn't shouldnt've:shouldn't've shouldn'tve:shouldn't've somebody'd:somebodyd
    somebodyd've:somebody'd've somebody'dve:somebody'd've somebodyll:somebody'll somebodys:somebody's someoned:someone'd
    someoned've:someone'd've someone'dve:someone'd've someonell:someone'll someones:someone's somethingd:something'd
    somethingd've:something'd've something'dve:something'd've somethingll:something'll thats:that's thered:there'd
    thered've:there'd've there'dve:there'd've therere:there're theres:there's theyd:they'd theyd've:they'd've
    they'dve:they'd've theyll:they'll theyre:they're theyve:they've twas:'twas wasnt:wasn't wed've:we'd've
    we'dve:we'd've weve:we've werent:weren't whatll:what'll whatre:what're whats:what's whatve:what've whens:when's
    whered:where'd wheres:where's whereve:where've whod:who'd whod've:who'd've who'dve:who'd've wholl:who'll whos:who's
    whove:who've whyll:why'll whyre:why're whys:why's wont:won't wouldve:would've wouldnt:wouldn't
    wouldnt've:wouldn't've wouldn'tve:wouldn't've yall:y'all yall'll:y'all'll y'allll:y'all'll yall'd've:y'all'd've
    y'alld've:y'all'd've y'all'dve:y'all'd've youd:you'd youd've:you'd've you'dve:you'd've youll:you'll youre:you're
    youve:you've
"""
CONTRACTIONS = dict(pair.split(':') for pair in _CONTRACTIONS.split())


def strip_marks(text: str) -> str:
    """Take punctuation away, or put spaces in its place; see the top of this file."""
    with_digit_comma = DIGIT_COMMA.search(text) is not None
    stripped = text
    for mark in MARKS:
        vanishes = with_digit_comma or f'{mark} ' in text or f' {mark}' in text
        stripped = stripped.replace(mark, '' if vanishes else ' ')
    return FULL_STOP.sub('', stripped, count=MOST_FULL_STOPS)


def normalise_words(text: str) -> str:
    """Write a text in lower case, without articles, numbers to ten as digits, contractions with apostrophes."""
    words = [NUMBERS.get(word, word) for word in text.lower().split()]
    return ' '.join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _one_line(text: str) -> str:
    return text.replace('\n', ' ').replace('\t', ' ').strip()


def soft_accuracy(prediction: str, answers: Sequence[str], rule: str = 'official') -> float:
    """Score one answer, in [0, 1], by a rule of the top of this file.

    ``answers`` are what the annotators said, ten in VQAv2; none at all, or no such rule, are an ``OmniVLValueError``.
    """
    if rule not in RULES:
        raise OmniVLValueError(f'rule must be one of {RULES}, got {rule!r}')
    if not answers:
        raise OmniVLValueError('there are no answers to compare with')
    prediction = _one_line(prediction)
    if rule == 'official':
        answers = [_one_line(answer) for answer in answers]
    disagree = len(set(answers)) > 1
    if disagree or rule == 'lavis':
        prediction = normalise_words(strip_marks(prediction))
    if disagree:
        answers = [strip_marks(answer) for answer in answers]
        if rule == 'official':
            answers = [normalise_words(answer) for answer in answers]
    count, matches = len(answers), sum(answer == prediction for answer in answers)
    # Leaving out one that matches, or one that does not.
    return (matches * min(1, (matches - 1) / 3) + (count - matches) * min(1, matches / 3)) / count
