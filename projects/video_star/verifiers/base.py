"""What all verifiers have in common: a verdict with its reason, and what no answer may be."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from omnivl.errors import OmniVLTypeError

from .text import is_repetitive, without_question, words_of


class Verdict(NamedTuple):
    """Whether an answer holds its label, and why not.

    Attributes:
        passed: Whether it does.
        reason: What was found, in a few words.
    """

    passed: bool
    reason: str


class Verifier(ABC):
    """Looks for a label in an answer.

    An answer that is empty or goes round in a loop holds none; what it repeats of the question does not count.
    """

    def __call__(self, answer: str, truth: Any, question: str = '') -> Verdict:
        """Judge an answer.

        Args:
            answer: As written.
            truth: The label, of the verifier's type.
            question: What was asked.

        Returns:
            The verdict.

        Raises:
            OmniVLTypeError: The label is of another type.
        """
        truth = self.check_truth(truth)
        if not words_of(answer):
            return Verdict(False, 'empty')
        if is_repetitive(answer):
            return Verdict(False, 'repeats itself')
        own = without_question(answer, question)
        if not words_of(own):
            return Verdict(False, "only the question's words")
        return self.judge(own, truth)

    @abstractmethod
    def check_truth(self, truth: Any) -> Any:
        """Return a label as ``judge`` takes it; one of another type is an ``OmniVLTypeError``."""

    @abstractmethod
    def judge(self, answer: str, truth: Any) -> Verdict:
        """Judge what an answer says itself."""

    def wrong_type(self, truth: Any, wanted: str) -> OmniVLTypeError:
        """Make the error for a label that is none of the verifier's."""
        return OmniVLTypeError(
            f'{type(self).__name__} verifies {wanted}, the label is {truth!r}; give this label another verifier'
        )
