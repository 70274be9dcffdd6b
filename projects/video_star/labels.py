"""Labels of clips, and the questions that are made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .registry import VERIFIERS
from .verifiers import Verdict

# Type of a label -> the verifier that looks for it, unless the label or a config names another.
VERIFIED_BY: dict[str, dict[str, Any]] = {
    'class': dict(type='ClassName'),
    'classes': dict(type='ClassSequence'),
    'time_range': dict(type='TimeRange'),
    'seconds_range': dict(type='TimeRange', longest=None),
    'time_stamp': dict(type='TimeStamp'),
    'number': dict(type='Number'),
    'box': dict(type='BoxOverlap'),
    'order': dict(type='ClassSequence'),
    'yes_no': dict(type='YesNo'),
    'same': dict(type='SameOrNot'),
    'words': dict(type='Words'),
    'sentence': dict(type='SentenceOverlap'),
    'sentences': dict(type='SentenceSequence'),
}


class Label(NamedTuple):
    """What is known of a clip.

    Attributes:
        type: One of ``VERIFIED_BY``, or one that a config adds.
        value: Of that type: a text, a number, a pair, a list.
        about: What it is told of, for the question: 'opening a door' of a time range, 'dive' of a score.
        name: What the data set calls it.
        verifier: Config of a verifier of its own.
    """

    type: str
    value: Any
    about: str = ''
    name: str = ''
    verifier: Mapping[str, Any] | None = None


class LabelledClip(NamedTuple):
    """A clip and its labels.

    Attributes:
        id: Names it within its data set.
        video: Path of the file.
        labels: All of them; each becomes a question.
        clip: The part of the video that is meant, (start, end) in seconds; None = all of it.
        question: The question that the data set itself asks; its labels are the answer.
    """

    id: str
    video: str
    labels: Sequence[Label]
    clip: tuple[float, float] | None = None
    question: str | None = None


@dataclass(frozen=True)
class Question:
    """A question whose answer is known.

    Attributes:
        id: Names it among all questions of a run.
        video: Path of the file.
        text: The question.
        labels: An answer is right if it holds all of them.
        hint: The labels in words, for rationalisation only.
        clip: The part of the video that is meant, (start, end) in seconds; None = all of it.
        verifiers: Config of the verifier of each label.
    """

    id: str
    video: str
    text: str
    labels: Sequence[Label]
    hint: str
    clip: tuple[float, float] | None = None
    verifiers: Sequence[Mapping[str, Any]] = field(default=())

    @property
    def kind(self) -> str:
        """The types of its labels, as pages and figures sort questions."""
        return '+'.join(dict.fromkeys(label.type for label in self.labels))

    def published(self) -> dict[str, Any]:
        """Return the record of the published code: names of labels, their values and the kinds of their verifiers."""
        names = [label.name or label.type for label in self.labels]
        return {
            'question_id': self.id,
            'video_path': self.video,
            'question': self.text,
            'label': {name: label.value for name, label in zip(names, self.labels)},
            'label_type': names,
            'verifier_type': [verifier['type'] for verifier in self.verifiers],
        }


def verifier_of(label: Label, chosen: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the config of a label's verifier: its own, else the one ``chosen`` for its type, else the default."""
    return dict(label.verifier or chosen.get(label.type) or VERIFIED_BY.get(label.type) or dict(type='Words'))


class Checker:
    """Verifies answers to questions; verifiers are built once for each config.

    An answer passes if it holds all labels; the reason is that of the first one that it does not.
    """

    def __init__(self) -> None:
        self.built: dict[str, Any] = {}

    def __call__(self, question: Question, answer: str) -> Verdict:
        """Verify an answer."""
        verdict = Verdict(False, 'no label')
        for label, config in zip(question.labels, question.verifiers):
            key = repr(sorted(config.items()))
            if key not in self.built:
                self.built[key] = VERIFIERS.build(dict(config))
            verdict = self.built[key](answer, label.value, question.text)
            if not verdict.passed:
                return verdict
        return verdict
