"""Verifiers of words: classes, words of a label, yes and no, the same or not, and sequences of these."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..registry import VERIFIERS
from .base import Verdict, Verifier
from .text import clauses, content, contradicts, is_denied, is_hedged, is_like, sentences, stem, words_of

SAME = re.compile(
    r"\b(?P<verb>is|are|was|were|be|remain|remains|look|looks|appear|appears|seem|seems|'s|'re)(?=\s|n't)"
    r"(?P<not>\s+(?:not|never|no longer)|n't)?\s+(?:\w+ly\s+|exactly\s+|to be\s+)?(?P<denied>not\s+|anything but\s+)?"
    r'(?:(?P<same>the same|identical|one and the same|equal)|(?P<different>different|distinct|not alike))\b'
)
# A clause that begins so tells of what came before the clause in front of it.
EARLIER = re.compile(
    r'^\s*(?:and\s+|but\s+)?(?:before (?:that|this|doing so)|earlier|previously|prior to (?:that|this))\b'
)
AFTER = re.compile(r'\b(?:only )?(?:after|following|once)\b')
BEFORE = re.compile(r'\bbefore\b')
APART = 2  # words with meaning that may stand between those of a label
# Behind one of these another thing begins: 'throws a stone at a ball' throws no ball.
ELSEWHERE = frozenset(('at', 'near', 'beside', 'behind', 'under', 'against', 'past', 'toward', 'towards', 'like'))
YES = frozenset(('yes', 'yeah', 'yep', 'correct', 'true', 'indeed', 'right'))
NO = frozenset(('no', 'nope', 'incorrect', 'false', 'wrong'))


class Mention(NamedTuple):
    """Where an answer names something.

    Attributes:
        place: Of the first word, in the order of time as the answer tells it.
        is_stated: Whether it is neither denied nor left open.
        reason: What is wrong with it otherwise.
    """

    place: float
    is_stated: bool
    reason: str


def events(answer: str) -> list[str]:
    """Split an answer into clauses in the order of time that it tells: 'A after B' is B, A, as 'before that, B' is."""
    told: list[str] = []
    for sentence in sentences(answer):
        waiting: str | None = None  # of 'Before A, B'
        for clause in clauses(sentence):
            lower = clause.lower()
            first_word = (words_of(clause) or [''])[0]
            if EARLIER.match(lower) and told:
                told.insert(len(told) - 1, EARLIER.sub('', clause))
            elif first_word == 'before':
                waiting = clause[len('before') :].strip()
            elif (parts := _reversed_in_time(clause)) is not None:
                told += parts
            else:
                told.append(clause)
                if waiting is not None:
                    told.append(waiting)
                    waiting = None
        if waiting is not None:
            told.append(waiting)
    return told


def _reversed_in_time(clause: str) -> list[str] | None:
    """Split 'A after B' into B, A and 'A before B' into A, B; None of a clause that has neither inside."""
    for pattern, turned in ((AFTER, True), (BEFORE, False)):
        match = pattern.search(clause.lower())
        if match and words_of(clause[: match.start()]) and words_of(clause[match.end() :]):
            parts = [clause[: match.start()].strip(), clause[match.end() :].strip()]
            return parts[::-1] if turned else parts
    return None


def find_label(clause: str, label: Sequence[str], in_order: bool) -> tuple[int, int] | None:
    """Find the stems of a label in a clause, next to each other but for ``APART`` words with meaning.

    Args:
        clause: Where to look.
        label: Stems, see ``content``.
        in_order: Whether they must stand in their order.

    Returns:
        Places of the first and the last word among all words of the clause; None = not there.
    """
    words = words_of(clause)
    stems = [stem(word) for word in words]
    kept = set(content(clause))
    meaning = [place for place, one in enumerate(stems) if one in kept]
    for start in range(len(meaning)):
        window = meaning[start : start + len(label) + APART]
        found: list[int] = []
        for wanted in label:
            after = found[-1] if found and in_order else -1
            place = next((one for one in window if stems[one] == wanted and one > after and one not in found), None)
            if place is None:
                break
            found.append(place)
        else:
            first, last = min(found), max(found)
            if not ELSEWHERE & set(words[first:last]):
                return first, last
    return None


def mentions(told: Sequence[str], label: str) -> Iterator[Mention]:
    """Find a label in clauses, one after the other."""
    stems = content(label)
    for number, clause in enumerate(told):
        found = find_label(clause, stems, in_order=len(stems) > 2)
        if found is None:
            continue
        words = words_of(clause)
        open_words = clause if ' or ' not in f' {label.lower()} ' else clause.replace(' or ', ' ')
        place = number + found[0] / (len(words) + 1)
        if is_denied(words, *found):
            yield Mention(place, False, 'denies it')
        elif is_hedged(open_words):
            yield Mention(place, False, 'leaves it open')
        else:
            yield Mention(place, True, 'names it')


class _TextVerifier(Verifier):
    """A label that is a text."""

    def check_truth(self, truth: Any) -> str:
        """Return a text with words."""
        if not isinstance(truth, str) or not words_of(truth):
            raise self.wrong_type(truth, 'a text')
        return truth


class _SequenceVerifier(Verifier):
    """A label that is a sequence of texts."""

    def check_truth(self, truth: Any) -> list[str]:
        """Return texts with words."""
        is_right = isinstance(truth, list | tuple) and len(truth) > 0
        if not is_right or not all(isinstance(one, str) and words_of(one) for one in truth):
            raise self.wrong_type(truth, 'a sequence of texts')
        return list(truth)


@VERIFIERS.register_module()
class ClassName(_TextVerifier):
    """The name of a class, its words next to each other in one clause that states it.

    The last word on a class counts: 'it looks like X, but it is not X' denies it.

    Args:
        classes: All classes, or none: of several that share words the longest is what an answer names, and an answer
            that names two of them as what happens has not chosen.
    """

    def __init__(self, classes: Sequence[str] = ()) -> None:
        self.classes = tuple(classes)

    def judge(self, answer: str, truth: str) -> Verdict:
        """Look for the name."""
        found = self._last_word(answer, truth)
        if found is None or not found.is_stated:
            return Verdict(False, f'not named: {truth}' if found is None else found.reason)
        own = set(content(truth))
        for other in self.classes:
            if set(content(other)) == own or (named := self._last_word(answer, other)) is None or not named.is_stated:
                continue
            if not set(content(other)) < own:
                return Verdict(False, f'names {other}, too')
        return Verdict(True, found.reason)

    @staticmethod
    def _last_word(answer: str, name: str) -> Mention | None:
        told = [clause for sentence in sentences(answer) for clause in clauses(sentence)]
        return next(iter(list(mentions(told, name))[::-1]), None)


@VERIFIERS.register_module()
class ClassSequence(_SequenceVerifier):
    """Names of classes, each stated, in the order of time that the answer tells ('A after B' is B, then A)."""

    def judge(self, answer: str, truth: list[str]) -> Verdict:
        """Look for the names, one behind the other."""
        told = events(answer)
        last = -1.0
        for name in truth:
            found = list(mentions(told, name))
            stated = [mention.place for mention in found if mention.is_stated]
            if not stated:
                return Verdict(False, found[-1].reason if found else f'not named: {name}')
            later = [place for place in stated if place > last]
            if not later:
                return Verdict(False, f'not in this order: {name}')
            last = later[0]
        return Verdict(True, 'names all in order')


@VERIFIERS.register_module()
class Words(_TextVerifier):
    """The words of a label that carry meaning, each but for a slip, in one sentence that states them.

    'closet/cabinet' is either of the two.

    Args:
        ratio: Likeness of two words that must be exceeded, from 0 to 1 (0.85 of the ending words in the published
            code, where one letter of seven may be another).
    """

    def __init__(self, ratio: float = 0.87) -> None:
        self.ratio = ratio

    def judge(self, answer: str, truth: str) -> Verdict:
        """Look for the words."""
        wanted = [
            [stem(part) for part in words_of(group.replace('/', ' '))]
            for group in truth.split()
            if '/' in group or set(content(group)) & set(content(truth))
        ]
        verdict = Verdict(False, f'not named: {truth}')
        for sentence in sentences(answer):
            for claim in _claims(sentence):
                verdict = self._in_claim(claim, wanted, truth) or verdict
        return verdict

    def _in_claim(self, claim: str, wanted: Sequence[Sequence[str]], truth: str) -> Verdict | None:
        words = words_of(claim)
        places = []
        for group in wanted:
            likely = (
                place
                for place, word in enumerate(words)
                if any(stem(word) == one or is_like(stem(word), one, self.ratio) for one in group)
            )
            places.append(next(likely, None))
        found = [place for place in places if place is not None]
        if len(found) < len(places):
            return None
        if is_denied(words, min(found), max(found)):
            return Verdict(False, 'denies it')
        if is_hedged(claim) and ' or ' not in f' {truth} ':
            return Verdict(False, 'leaves it open')
        return Verdict(True, 'names it')


def _claims(sentence: str) -> list[str]:
    """Split a sentence where 'but' or a semicolon turns it."""
    return [part for part in re.split(r';|\bbut\b|\bhowever\b|\bwhereas\b', sentence) if part.strip()]


@VERIFIERS.register_module()
class SentenceOverlap(_TextVerifier):
    """A sentence by its words alone: how much of it stands, in its order, in a sentence of the answer.

    What is shared is the longest common subsequence of the stems that carry meaning (Lin, "ROUGE", 2004), over those of
    the label. An opposite ('closes' for 'opens') or a denial that the label has not is no sentence of its kind. This is
    no likeness of meaning: see ``SentenceEmbedding``.

    Args:
        share: Of the label that must be there.
    """

    def __init__(self, share: float = 0.7) -> None:
        self.share = share

    def judge(self, answer: str, truth: str) -> Verdict:
        """Look for the sentence."""
        return max((self.compare(one, truth) for one in sentences(answer)), key=lambda verdict: verdict.passed)

    def compare(self, sentence: str, truth: str) -> Verdict:
        """Compare one sentence."""
        said, wanted = content(sentence), content(truth)
        shared = _common(said, wanted) / len(wanted)
        if shared < self.share:
            return Verdict(False, f'{shared:.0%} of the words')
        if contradicts(said, wanted):
            return Verdict(False, 'says the opposite')
        if _is_negative(sentence) != _is_negative(truth):
            return Verdict(False, 'denies it')
        if is_hedged(sentence) and not is_hedged(truth):
            return Verdict(False, 'leaves it open')
        return Verdict(True, f'{shared:.0%} of the words')


@VERIFIERS.register_module()
class SentenceSequence(_SequenceVerifier):
    """Sentences in the order of time that the answer tells, each by :class:`SentenceOverlap`.

    Args:
        share: Of each sentence that must be there.
    """

    def __init__(self, share: float = 0.7) -> None:
        self.one = SentenceOverlap(share)

    def judge(self, answer: str, truth: list[str]) -> Verdict:
        """Look for the sentences, one behind the other."""
        told = events(answer)
        last = -1
        for sentence in truth:
            verdicts = [self.one.compare(clause, sentence) for clause in told]
            places = [place for place, verdict in enumerate(verdicts) if verdict.passed]
            if not places:
                return Verdict(False, f'not told: {sentence}')
            last = next((place for place in places if place > last), -1)
            if last < 0:
                return Verdict(False, f'not in this order: {sentence}')
        return Verdict(True, 'tells all in order')


def _common(said: Sequence[str], wanted: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    lengths = [0] * (len(wanted) + 1)
    for one in said:
        previous = 0
        for place, other in enumerate(wanted, 1):
            kept = lengths[place]
            lengths[place] = previous + 1 if one == other else max(lengths[place], lengths[place - 1])
            previous = kept
    return lengths[-1]


def _is_negative(sentence: str) -> bool:
    words = words_of(sentence)
    return is_denied([*words, ''], len(words), len(words))


@VERIFIERS.register_module()
class YesNo(Verifier):
    """Yes or no: the label is a bool, or 'yes' and 'no'. An answer that says both has not answered."""

    def check_truth(self, truth: Any) -> bool:
        """Return a bool."""
        if isinstance(truth, str) and truth.strip().lower() in ('yes', 'no'):
            return truth.strip().lower() == 'yes'
        if not isinstance(truth, bool):
            raise self.wrong_type(truth, 'yes or no')
        return truth

    def judge(self, answer: str, truth: bool) -> Verdict:
        """Look how its sentences begin, and at 'the answer is ...'."""
        said = set()
        for sentence in sentences(answer):
            words = words_of(sentence)
            if is_hedged(sentence) and set(words) & (YES | NO):
                return Verdict(False, 'leaves it open')
            lead = [words[:1]] if words else []
            lead += [[match] for match in re.findall(r'\banswer (?:is|would be|:)?\s*"?(\w+)', sentence.lower())]
            said |= {True for one in lead if set(one) & YES} | {False for one in lead if set(one) & NO}
        if len(said) != 1:
            return Verdict(False, 'says both' if said else 'neither yes nor no')
        return Verdict(said == {truth}, f'says {"yes" if True in said else "no"}')


@VERIFIERS.register_module()
class SameOrNot(Verifier):
    """Whether things are the same; the label is a bool, or a sentence that says it. The last word on it counts."""

    def check_truth(self, truth: Any) -> bool:
        """Return whether they are."""
        if isinstance(truth, str):
            found = self._said(truth)
            if found:
                return found[-1][0]
        if not isinstance(truth, bool):
            raise self.wrong_type(truth, 'whether things are the same')
        return truth

    def judge(self, answer: str, truth: bool) -> Verdict:
        """Look for the last statement."""
        found = self._said(answer)
        if not found:
            return Verdict(False, 'does not say')
        said, sentence = found[-1]
        if is_hedged(sentence):
            return Verdict(False, 'leaves it open')
        return Verdict(said == truth, f'says {"the same" if said else "not the same"}')

    @staticmethod
    def _said(text: str) -> list[tuple[bool, str]]:
        found = []
        for sentence in sentences(text):
            for clause in clauses(sentence.lower()):
                for match in SAME.finditer(clause):
                    denials = sum(match[name] is not None for name in ('not', 'denied'))
                    before = words_of(clause[: match.start()])
                    denials += any(word in ('no', 'neither', 'none') for word in before[:2])
                    denials += bool(re.search(r"\b(?:not true|don't think|do not think|doubt)\b", clause))
                    found.append(((match['same'] is not None) == (denials % 2 == 0), clause))
        return found
