"""The visual-grounded alignment decoder (OmniVL, 2209.07526, section 3.1): does this text fit this visual?"""

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from omnivl.registry import MODELS
from omnivl.structures import TextFeatures

from ..layers import TransformerLayer
from ..layers.attention import KeyValue
from ..layers.recompute import run_block
from .base import GroundedDecoder


@MODELS.register_module()
class AlignmentDecoder(GroundedDecoder):
    """Bidirectional self-attention over text that begins with [ENC], cross-attention to the visual, feed-forward.

    The output at [ENC] is the fused representation of text and visual. Arguments as ``GroundedDecoder``.
    """

    def forward(
        self,
        token_ids: Tensor,
        mask: Tensor,
        key_values: Sequence[KeyValue],
        visual_index: Tensor | None = None,
        first_only: bool = False,
    ) -> TextFeatures:
        """Fuse N texts with B visuals.

        Args:
            token_ids: int64 (N, L), [ENC] first.
            mask: bool (N, L), True = real token.
            key_values: From ``project_visual``, one pair per layer, each (B, h, S, d).
            visual_index: The visual of each text, int64 (N,); without it, N = B * G and texts are grouped by visual.
            first_only: Whether [ENC] is all that is wanted, so that the last layer need not compute the others.

        Returns:
            Tokens (N, L, D), or (N, 1, D), and the vector of [ENC] (N, D).
        """
        tokens, mask = self.embeddings(token_ids), mask[:, None, None]
        before = key_values[:-1] if first_only else key_values
        tokens, _ = self.run_layers(tokens, before, visual_index, mask=mask)
        if first_only:
            last = cast(TransformerLayer, self.layers[-1])
            recompute = self.training and self.activation_checkpointing
            tokens = run_block(last.first, tokens, key_values[-1], visual_index, mask, recompute=recompute)
        return TextFeatures(tokens, tokens[:, 0])
