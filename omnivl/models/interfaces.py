"""What evaluation, inference, weights and the engine may ask of a model, and nothing else.

A model offers an interface by having its methods; nobody looks at its class. A task model need not repeat what its
trunk can do: ``serving`` finds the one of the two that serves. Letters of shapes are those of ``structures/batch.py``.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from torch import Tensor

from omnivl.errors import OmniVLTypeError
from omnivl.structures import IMAGE, VisualFeatures, VLBatch

from .generation import Writing
from .tokenizers.text import TextTokenizer

Interface = TypeVar('Interface')
KeyValues = Sequence[tuple[Tensor, Tensor]]


class Encodes(Protocol):
    """Encodes visuals."""

    def encode(self, batch: VLBatch) -> VisualFeatures:
        """Encode the visuals of a batch to tokens (B, S, D) and one vector each (B, D)."""


class Contrasts(Encodes, Protocol):
    """Compares visuals and texts as unit vectors of one space."""

    tokenizer: TextTokenizer

    def temperature_value(self) -> float:
        """Return the temperature that similarities are divided by."""

    def project_visual(self, pooled: Tensor, modality: str = IMAGE.name) -> Tensor:
        """Map the vectors of visuals (B, D), from ``encode``, to unit vectors, float32 (B, E).

        ``modality`` is ``VLBatch.modality``; only those who hear as well have to ask which way the vectors go.
        """

    def embed_text(self, text_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Map texts, int64 (B, L) with their mask, bool (B, L), to unit vectors, float32 (B, E)."""


class Matches(Encodes, Protocol):
    """Scores pairs of a text and a visual together."""

    tokenizer: TextTokenizer

    def matching_key_values(self, visual_tokens: Tensor) -> KeyValues:
        """Make, once, what texts look up in visual tokens (B, S, D): one (key, value) pair per layer, B first."""

    def match_logits(
        self, text_ids: Tensor, text_mask: Tensor, key_values: KeyValues, visual_index: Tensor | None = None
    ) -> Tensor:
        """Score N texts, int64 (N, L), with the visuals ``visual_index``, int64 (N,): float (N, 2), column 1 = match.

        Without ``visual_index``, N = B * G and texts are grouped by visual.
        """


class Writes(Encodes, Protocol):
    """Writes texts about visuals."""

    tokenizer: TextTokenizer
    prompt: str

    def begin_writing(self, visual_tokens: Tensor, prompt: str | None = None) -> Writing:
        """Prepare to write about visual tokens (B, S, D), behind a prompt (None = the model's own)."""


class Answers(Encodes, Protocol):
    """Answers questions about visuals."""

    tokenizer: TextTokenizer

    def read_questions(self, batch: VLBatch) -> Any:
        """Read the questions, in ``text_ids``, over their visuals, once for all ways to answer."""

    def rank_answers(
        self, batch: VLBatch, answer_ids: Sequence[np.ndarray], k: int = 128, *, questions: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Choose the likeliest of given answers: its index, int64 (B,), and its log-likelihood, float32 (B,)."""

    def generate_answers(
        self, batch: VLBatch, method: str = 'beam', *, questions: Any = None, **options: Any
    ) -> list[tuple[str, float]]:
        """Write an answer to each question, with its score."""


class WritesAnswers(Encodes, Protocol):
    """Writes answers to questions about visuals, token by token."""

    tokenizer: TextTokenizer

    def begin_answering(self, visual_tokens: Tensor, text_ids: Tensor, text_mask: Tensor) -> Writing:
        """Prepare to answer questions, int64 (B, L) with their mask, bool (B, L), on visual tokens (B, S, D)."""


class Classifies(Encodes, Protocol):
    """Scores the classes of one data set."""

    num_classes: int

    def classify(self, batch: VLBatch) -> Tensor:
        """Score the classes: logits, float (B, C)."""


class Trains(Protocol):
    """Computes losses that have names."""

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The losses that a task of the train loop may choose from."""

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute the losses of a batch, each a scalar under ``loss_<name>``, and what the log shows beside them."""


class HasParts(Protocol):
    """Is made of parts that readers of weights fill by name, wherever the model keeps them."""

    @property
    def parts(self) -> Mapping[str, Any]:
        """Name -> part, a module, such as ``'visual_encoder'``."""


class HasTokenizer(Protocol):
    """Has a text tokenizer."""

    tokenizer: TextTokenizer


class HasPrompt(Protocol):
    """Has words that all it writes begins with."""

    prompt: str


class HasMatchingToken(Protocol):
    """Lets texts that are read over visuals begin with a token of its choice."""

    matching_token: str


class HasImageSize(Protocol):
    """Is made for pictures of one size; asked of a visual encoder."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""


class FitsPositions(Protocol):
    """Fits its position embeddings to another resolution or clip length; asked of a visual encoder."""

    def fit_position_embeddings(self, state_dict: dict[str, Tensor], prefix: str = '') -> None:
        """Fit those of weights that are about to be loaded, in place, ``prefix`` before the keys of the encoder."""


class StartsVideoFromImage(Protocol):
    """Has a path for videos that may begin where its path for images is; asked of a visual encoder."""

    def start_video_from_image(self) -> None:
        """Make clips of equal frames give what the image gives, as decoupled joint pretraining starts its joint stage.

        See OmniVL (2209.07526), section 3.3.
        """


class ChangesForUse(Protocol):
    """Is something else once it is only used; asked of the class of a model."""

    @classmethod
    def for_use(cls, config: dict) -> dict:
        """Turn the config of a trained model of this class into that of what is left when it is only used."""


class TakesWeights(Protocol):
    """Fits weights to itself before they are loaded, and follows them afterwards."""

    def adapt_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Fit weights that are about to be loaded, in place (another resolution, another number of classes)."""

    def after_load(self) -> None:
        """Let what follows other weights start from those just loaded."""


def offered_by(model: object, interface: type[Interface]) -> Interface | None:
    """Find who offers an interface with the parts that it was built with: the model, or its trunk; None = neither."""
    for candidate in _candidates(model):
        if all(_has(candidate, name) for name in _members(interface)) and interface not in _lacks(candidate):
            return cast(Interface, candidate)
    return None


def serving(model: object, interface: type[Interface], user: str) -> Interface:
    """Find who serves an interface: the model itself, or its trunk.

    Args:
        model: The model, without a distributed wrapper.
        interface: One of this file.
        user: Who asks, for the message.

    Returns:
        The model or its trunk, as that interface.

    Raises:
        OmniVLTypeError: Neither does; says what is missing.
    """
    server = offered_by(model, interface)
    if server is not None:
        return server
    reasons = {reason for candidate in _candidates(model) if (reason := _lacks(candidate).get(interface))}
    if not reasons:
        members = sorted(_members(interface))
        missing = [[name for name in members if not _has(one, name)] for one in _candidates(model)]
        closest = min(missing, key=len)
        reasons = {f'it has no {", ".join(closest)}'}
    purpose = (inspect.getdoc(interface) or '').rstrip('.').lower()
    raise OmniVLTypeError(
        f'{user} needs a model that {purpose}, which this {type(model).__name__} does not: '
        f'{"; ".join(sorted(reasons))} (see {interface.__name__} in omnivl/models/interfaces.py, or take a config of '
        'another task)'
    )


def _candidates(model: object) -> list[object]:
    return [candidate for candidate in (model, getattr(model, 'trunk', None)) if candidate is not None]


def _lacks(candidate: object) -> Mapping[type, str]:
    """Interfaces that a class offers and this object, built without some part, does not; each with the reason."""
    return getattr(candidate, 'lacks', {})


def _has(candidate: object, name: str) -> bool:
    # Looked up without being called: a tokenizer reads its file at first use, and whoever asks here may not have it.
    return inspect.getattr_static(candidate, name, None) is not None


def _members(interface: type) -> set[str]:
    bases = [base for base in interface.__mro__ if Protocol in base.__bases__]
    names = {name for base in bases for name in (*vars(base), *getattr(base, '__annotations__', {}))}
    return {name for name in names if not name.startswith('_')}
