"""What the cycle asks of a model: to answer prompts about clips, and to be tuned on answers from where it began."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Prompt(NamedTuple):
    """What a model is asked.

    Attributes:
        video: Path of the clip's file.
        clip: The part of it, (start, end) in seconds; None = all of it.
        text: The prompt.
        seed: Of the draws; None = the likeliest answer. What is drawn depends on the prompt and on it alone.
    """

    video: str
    clip: tuple[float, float] | None
    text: str
    seed: int | None = None


class Said(NamedTuple):
    """What a model made of a prompt.

    Attributes:
        text: The answer; '' where there is none.
        error: Why the clip could not be read; '' = it could.
    """

    text: str
    error: str = ''


class Sample(NamedTuple):
    """What a model is tuned on.

    Attributes:
        id: Of the question.
        video: Path of the clip's file.
        clip: The part of it; None = all of it.
        question: What is asked.
        answer: What it is to say.
    """

    id: str
    video: str
    clip: tuple[float, float] | None
    question: str
    answer: str


class Generator(Protocol):
    """A model that answers and can be tuned. Several processes each have one, on which device is its own affair."""

    batch_size: int  # prompts that are answered together

    def load(self, weights: str | None) -> None:
        """Take the weights that ``finetune`` named; None = those that it was pretrained to."""

    def answer(self, prompts: Sequence[Prompt]) -> list[Said]:
        """Answer prompts, in their order."""

    def finetune(self, samples: Sequence[Sample], folder: Path, seed: int) -> str:
        """Tune the pretrained model on samples, all processes together, and name the weights.

        What an interrupted call has left in the folder is gone on with.
        """
