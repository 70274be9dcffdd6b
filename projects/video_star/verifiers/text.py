"""What an answer says, by rules alone: its sentences, what of it is denied or left open, and what it only repeats.

Words are compared by stems, which lose the endings of English verbs and nouns: 'opens', 'opened' and 'opening' are one.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

TOKEN = re.compile(r"\d+(?::\d\d)+|\d*\.?\d+|[a-z]+(?:'[a-z]+)?")
COPIED = 4  # words in a row that stand in the question, too, are the question's
LOOPED = 3  # times that a run of words may not follow itself
LONGEST_RUN = 24  # words; what is longer is a sentence that stands there twice


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


FUNCTION_WORDS = _set(
    'a an the this that these those is are was were be been being am do does did doing has have had having of to in on '
    'at by for with from as and or it its he she they him her them his their there here who which what when where '
    'while into onto then so also very some something someone person people man woman video clip scene shown shows '
    'show seen see can will would we i you'
)
NEGATIONS = _set(
    'not no never neither nor none nobody nothing without cannot unlike hardly barely denies deny denied '
    'excludes avoids instead'
)
# Words before what is denied, though they are no 'not'.
DENYING = ('rather than', 'instead of', 'fails to', 'failed to', 'far from', 'ruled out', 'rule out', 'rules out')
# Behind what is denied: 'X is wrong', 'X can be ruled out'.
DENIED = re.compile(
    r'^(?:\w+ )?(?:is|was|are|were|can be|would be|seems|has been|does|do|did)?\s*'
    r"(?:not|n't|isn't|wasn't|aren't|doesn't|didn't|never|wrong|false|incorrect|unlikely|impossible|excluded|absent|"
    r'missing|ruled out|out of the question)\b'
)
# No denials, whatever their words.
AFFIRMED = re.compile(r'\b(?:not only|no doubt|without (?:a )?doubt|not just)\b', re.I)
HEDGES = re.compile(
    r'\b(?:maybe|perhaps|possibly|either|might|may|could|unclear|unsure|uncertain|whether|not sure|'
    r'not certain|hard to (?:say|tell)|difficult to (?:say|tell)|impossible to (?:say|tell)|(?:cannot|can not|can\'t) '
    r'(?:say|tell|be determined)|no idea|or)\b'
)
# A clause ends where another claim begins.
CLAUSES = re.compile(
    r'[,;:]\s+|\s+-\s+|\s+\u2013\s+|\b(?:but|however|although|though|whereas|because|since|therefore|so that|'
    r'and then|then|next|finally|afterwards)\b'
)
OPPOSITES = (
    'open close;left right;up down;put take;push pull;first last;before after;enter leave;in out;on off;top bottom;'
    'increase decrease;grow shrink;appear disappear;sit stand;lift lower;rise fall;start stop;throw catch;win lose;'
    'forward backward;inside outside;above below;fast slow;empty fill;lock unlock;fold unfold;tie untie;give receive;'
    'clockwise counterclockwise;towards away;same different;big small;large small;long short;hot cold;wet dry'
)
IRREGULAR = {
    'threw': 'throw', 'thrown': 'throw', 'caught': 'catch', 'took': 'take', 'taken': 'take', 'ran': 'run',
    'sat': 'sit', 'stood': 'stand', 'rode': 'ride', 'ridden': 'ride', 'swam': 'swim', 'left': 'left', 'fell': 'fall',
    'fallen': 'fall', 'ate': 'eat', 'eaten': 'eat', 'drank': 'drink', 'held': 'hold', 'lay': 'lie', 'lying': 'lie',
    'tying': 'tie', 'gave': 'give', 'given': 'give', 'shut': 'shut', 'wrote': 'write', 'written': 'write',
    'drew': 'draw', 'drawn': 'draw', 'drove': 'drive', 'children': 'child', 'people': 'person', 'men': 'man',
    'women': 'woman', 'feet': 'foot', 'knives': 'knife', 'puts': 'put', 'bought': 'buy', 'built': 'build',
    'cut': 'cut', 'shook': 'shake', 'shaken': 'shake', 'spun': 'spin', 'swung': 'swing', 'grew': 'grow',
    'grown': 'grow', 'shrank': 'shrink', 'shrunk': 'shrink', 'dove': 'dive', 'clothes': 'clothes',
}  # fmt: skip


def words_of(text: str) -> list[str]:
    """Split into small words and numbers."""
    return TOKEN.findall(text.lower().replace('\u2019', "'"))


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Take the ending off an English word."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    for ending in ("'s", 'ings', 'ing', 'edly', 'ed', 'ies', 'es', 's', 'e', 'y'):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3 and not (ending == 's' and root.endswith('s')):
            return root[:-1] if root[-1:] == root[-2:-1] and root[-1] not in 'aeiosl' else root
    return word


def content(text: str) -> list[str]:
    """Return the stems of the words that carry meaning; of a text without any, of all its words."""
    words = words_of(text)
    return [stem(word) for word in words if word not in FUNCTION_WORDS] or [stem(word) for word in words]


def sentences(text: str) -> list[str]:
    """Split into sentences; the point of a number ends none."""
    parts = re.split(r'(?<=[.!?])\s+|\n+', AFFIRMED.sub('', text.strip()))
    return [part.strip() for part in parts if part.strip()]


def clauses(sentence: str) -> list[str]:
    """Split a sentence where another claim begins."""
    return [part.strip() for part in CLAUSES.split(sentence) if part and part.strip()]


def is_repetitive(text: str) -> bool:
    """Say whether a sentence stands there twice, or a run of words three times in a row: the loop of a decoder.

    Numbers alone are no run: a box may have four equal ones.
    """
    said = [' '.join(words_of(sentence)) for sentence in sentences(text)]
    said = [sentence for sentence in said if sentence]
    if len(set(said)) < len(said):
        return True
    words = words_of(text)
    return any(
        words[start : start + size] * LOOPED == words[start : start + size * LOOPED]
        and any(word[0].isalpha() for word in words[start : start + size])
        for size in range(1, min(LONGEST_RUN, len(words) // LOOPED) + 1)
        for start in range(len(words) - size * LOOPED + 1)
    )


def without_question(answer: str, question: str) -> str:
    """Leave out what an answer only repeats: its own questions, and ``COPIED`` words in a row of the question.

    A choice that the question offers ('running or jumping?') may be named; its words with those around them may not.
    """
    kept = ' '.join(sentence for sentence in sentences(answer) if not sentence.endswith('?'))
    asked = ' ' + ' '.join(words_of(question)) + ' '
    spans = list(TOKEN.finditer(kept.lower().replace('\u2019', "'")))
    spoken = [span.group() for span in spans]
    dropped: set[int] = set()
    for start in range(len(spoken)):
        for end in range(start + COPIED, len(spoken) + 1):
            if f' {" ".join(spoken[start:end])} ' not in asked:
                break
            dropped |= set(range(start, end))
    for number in sorted(dropped, reverse=True):
        begin, end = spans[number].span()
        kept = kept[:begin] + kept[end:]
    return kept


def is_hedged(clause: str) -> bool:
    """Say whether a clause leaves open what it says."""
    return HEDGES.search(clause.lower()) is not None


def is_denied(words: Sequence[str], first: int, last: int) -> bool:
    """Say whether the words ``first`` to ``last`` of a clause are denied by those before or behind them."""
    before = words[:first]
    if any(word in NEGATIONS or word.endswith("n't") for word in before):
        return True
    if any(f' {phrase} ' in f' {" ".join(before)} ' for phrase in DENYING):
        return True
    return DENIED.match(' '.join(words[last + 1 :])) is not None


@lru_cache(maxsize=1)
def opposites() -> dict[str, frozenset[str]]:
    """Return the stem of each word that has opposites, with the stems of these."""
    found: dict[str, set[str]] = {}
    for pair in OPPOSITES.split(';'):
        one, other = map(stem, pair.split())
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in found.items()}


def contradicts(said: Sequence[str], truth: Sequence[str]) -> bool:
    """Say whether stems hold the opposite of one of the truth, which itself is not among them."""
    return any(opposites().get(word, frozenset()) & set(said) - set(truth) for word in set(truth) - set(said))


def is_like(one: str, other: str, threshold: float) -> bool:
    """Say whether two words are one but for a slip; the first letter must agree, and numbers all of it."""
    if one == other:
        return True
    if one[:1] != other[:1] or one[:1].isdigit() or not one[:1].isalpha():
        return False
    return SequenceMatcher(None, one, other, autojunk=False).ratio() > threshold
