"""How right a caption is where few words say all there is to say: exact matches, words, and slots.

A *slot* is a kind of value that captions name, such as colour, shape or action, given as the list of its values. For
open text there are BLEU and its kin; in a small world they would hide whether the colour is right.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omnivl.errors import OmniVLValueError

WORD = re.compile(r"\w+(?:'\w+)*")


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return WORD.findall(text.lower())


def is_exact(prediction: str, references: Sequence[str]) -> bool:
    """Say whether a caption has the words of a reference in their order (case and punctuation do not count)."""
    words = split_words(prediction)
    return any(words == split_words(reference) for reference in references)


def word_accuracy(prediction: str, references: Sequence[str]) -> float:
    """Return the share of right words, position by position, of the longer text; of the best reference, in [0, 1]."""
    return max(_word_accuracy(split_words(prediction), split_words(reference)) for reference in references)


def _word_accuracy(words: Sequence[str], reference: Sequence[str]) -> float:
    longest = max(len(words), len(reference))
    return sum(word == other for word, other in zip(words, reference)) / longest if longest else 1.0


class Slots:
    """A reader of the values that captions name.

    Values are matched as whole words and the longest first: neither is 'appears' found in 'disappears', nor 'left'
    where 'to the left' is a value too. Each slot is read on its own, from left to right, without overlap.

    Args:
        values: Slot -> its values, of one or more words each; anything else is an ``OmniVLValueError``.
    """

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        if not isinstance(values, Mapping) or not values:
            raise OmniVLValueError(f'slots must map names to lists of values, got {values!r}')
        self.patterns: dict[str, re.Pattern] = {}
        for slot, entries in values.items():
            if isinstance(entries, str) or not isinstance(entries, Sequence) or not entries:
                raise OmniVLValueError(f'slot {slot!r} must be a list of values, got {entries!r}')
            phrases = [' '.join(split_words(entry)) if isinstance(entry, str) else '' for entry in entries]
            if '' in phrases:
                raise OmniVLValueError(f'slot {slot!r} has the value {entries[phrases.index("")]!r}, which has no word')
            phrases.sort(key=len, reverse=True)
            self.patterns[slot] = re.compile(rf'(?<!\S)(?:{"|".join(map(re.escape, phrases))})(?!\S)')

    def read(self, text: str) -> dict[str, list[str]]:
        """Return the values that a text names, slot by slot, in the order of the text."""
        text = ' '.join(split_words(text))
        return {slot: pattern.findall(text) for slot, pattern in self.patterns.items()}

    def hits(self, prediction: str, references: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Count the values of the reference that a caption names in their order: slot -> (named right, there are).

        The n-th value of a slot in the reference must be the n-th value of this slot in the caption: [red, green] for
        [red, blue] is one of two. Of several references the one that fits best counts.
        """
        said = self.read(prediction)
        candidates = [
            {slot: (sum(map(str.__eq__, said[slot], true)), len(true)) for slot, true in self.read(reference).items()}
            for reference in references
        ]
        return max(candidates, key=_share)  # the first of equals


def _share(hits: Mapping[str, tuple[int, int]]) -> float:
    total = sum(count for _, count in hits.values())
    return sum(right for right, _ in hits.values()) / total if total else -1.0


def caption_metrics(
    predictions: Sequence[str], references: Sequence[Sequence[str]], slots: Slots | None = None
) -> dict[str, float]:
    """Average the scores of captions, in percent.

    Args:
        predictions: One caption per sample.
        references: The true captions of each sample, at least one.
        slots: Reads the slots; None = only ``exact`` and ``words``. References that name no value of any slot are an
            ``OmniVLValueError``.

    Returns:
        ``exact``, ``words``, ``slots_<name>`` for each slot that the references name, and ``slots`` over all values of
        all slots.
    """
    pairs = list(zip(predictions, references, strict=True))
    metrics = {
        'exact': 100.0 * float(np.mean([is_exact(*pair) for pair in pairs])),
        'words': 100.0 * float(np.mean([word_accuracy(*pair) for pair in pairs])),
    }
    if slots is None:
        return metrics
    totals = {slot: np.zeros(2, dtype=np.int64) for slot in slots.patterns}
    for pair in pairs:
        for slot, hits in slots.hits(*pair).items():
            totals[slot] += hits
    return metrics | _slot_metrics(totals)


def chance_metrics(references: Sequence[Sequence[str]], slots: Slots | None = None) -> dict[str, float]:
    """Score the best captions that do not look at the visual, in percent, as :func:`caption_metrics` does.

    ``exact``: always the most frequent caption. ``words``: always the caption of the most frequent word at each
    position, cut where that is best (of each sample's first reference). ``slots``: always the most frequent value of
    the slot (among the values of all references). These are at least as good as guesses drawn at random.
    """
    split = [[tuple(split_words(reference)) for reference in of_sample] for of_sample in references]
    captions = Counter(caption for of_sample in split for caption in set(of_sample))
    first = [of_sample[0] for of_sample in split]
    longest = max(map(len, first))
    modes = [Counter(words[n] for words in first if len(words) > n).most_common(1)[0][0] for n in range(longest)]
    constant = [np.mean([_word_accuracy(modes[:n], words) for words in first]) for n in range(longest + 1)]
    metrics = {'exact': 100.0 * captions.most_common(1)[0][1] / len(split), 'words': 100.0 * float(max(constant))}
    if slots is None:
        return metrics
    counts: dict[str, Counter] = {slot: Counter() for slot in slots.patterns}
    for of_sample in references:
        for reference in of_sample:
            for slot, values in slots.read(reference).items():
                counts[slot].update(values)
    totals = {slot: np.array([max(counter.values(), default=0), counter.total()]) for slot, counter in counts.items()}
    return metrics | _slot_metrics(totals)


def _slot_metrics(totals: Mapping[str, Any]) -> dict[str, float]:
    right, count = sum(totals.values())
    if count == 0:
        raise OmniVLValueError(
            f'no reference names a value of the slots {sorted(totals)}; are they those of this data set?'
        )
    metrics = {f'slots_{slot}': 100.0 * float(hits / of) for slot, (hits, of) in totals.items() if of}
    return metrics | {'slots': 100.0 * float(right / count)}
