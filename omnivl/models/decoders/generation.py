"""The visual-grounded generation decoder (OmniVL, 2209.07526, section 3.1): say what is seen."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from omnivl.registry import MODELS

from ..encoders.text import LanguageHead, init_bert
from ..layers.attention import KeyValue
from ..layers.linear import Linear, pack
from .base import GroundedDecoder

Cache = list[KeyValue]


@MODELS.register_module()
class GenerationDecoder(GroundedDecoder):
    """Causal self-attention over text that begins with [DEC], cross-attention to the visual, feed-forward, vocabulary.

    Arguments as ``GroundedDecoder``.
    """

    def __init__(self, vocab_size: int, width: int = 768, init_std: float = 0.02, **kwargs: Any) -> None:
        super().__init__(vocab_size, width, init_std=init_std, **kwargs)
        self.head = LanguageHead(vocab_size, width)
        init_bert(self.head, init_std)

    def forward(
        self,
        token_ids: Tensor,
        key_values: Sequence[KeyValue],
        visual_index: Tensor | None = None,
        key_mask: Tensor | None = None,
        to_vocabulary: bool = True,
    ) -> Tensor:
        """Predict the next word piece at every position (training).

        Padding stands at the end, where causal attention of real tokens does not look: no mask is needed.

        Args:
            token_ids: int64 (N, L), [DEC] first.
            key_values: From ``project_visual``, one pair per layer, each (B, h, S, d).
            visual_index: The visual of each text, int64 (N,); without it, N = B * G and texts are grouped by visual.
            key_mask: What may be looked at, bool (B, S), where the keys are padded; None = everything.
            to_vocabulary: Whether to give logits, or the tokens that ``to_logits`` makes them of.

        Returns:
            Logits, float (N, L, V); those at position i are for token i + 1. Or tokens, float (N, L, D).
        """
        tokens = self.embeddings(token_ids)
        tokens, _ = self.run_layers(tokens, key_values, visual_index, causal=True, key_mask=key_mask)
        return self.to_logits(tokens) if to_vocabulary else tokens

    def to_logits(self, tokens: Tensor) -> Tensor:
        """Map the tokens of the last layer, float (..., D), to logits (..., V)."""
        return self.head(tokens, self.embeddings.word.weight)

    def step(
        self,
        token_ids: Tensor,
        cache: Cache | None,
        key_values: Sequence[KeyValue],
        key_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """Predict what follows the given tokens, with the work on all earlier ones cached (inference).

        Args:
            token_ids: The new tokens, int64 (N, L), N = B * G, grouped by visual.
            cache: What the last step returned, or None at the start.
            key_values: From ``project_visual``, one pair per layer, each (B, h, S, d); shared by the G texts of a
                visual.
            key_mask: As for ``forward``.

        Returns:
            Logits at the last position, float (N, V), and the cache for the next step.
        """
        tokens = self.embeddings(token_ids, offset=cache[0][0].shape[2] if cache else 0)
        tokens, cache = self.run_layers(tokens, key_values, causal=True, past=cache, key_mask=key_mask)
        return self.to_logits(tokens[:, -1]), cache

    @contextmanager
    def packed(self) -> Iterator[None]:
        """Take steps in three quarters of the time on a CPU, while weights must not change.

        Keep a copy of the decoder's weights in the layout of the processor's multiplication (see ``pack``), which
        takes as long to make as a few steps. Elsewhere than on a CPU nothing happens.
        """
        parts: list[tuple[Linear | LanguageHead, Tensor]] = [(self.head, self.embeddings.word.weight)]
        parts += [(part, part.weight) for part in self.modules() if isinstance(part, Linear)]
        parts = [(part, weight) for part, weight in parts if part.packed is None]  # not again inside another such block
        try:
            for part, weight in parts:
                part.packed = pack(weight)
            yield
        finally:
            for part, _ in parts:
                part.packed = None


@contextmanager
def packed_decoders(model: nn.Module) -> Iterator[None]:
    """Pack all generation decoders of a model, see ``GenerationDecoder.packed``; to write many texts."""
    with ExitStack() as stack:
        for part in model.modules():
            if isinstance(part, GenerationDecoder):
                stack.enter_context(part.packed())
        yield
