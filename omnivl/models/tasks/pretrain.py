"""Pretraining with UniVLC, VLM and LM (OmniVL, 2209.07526, section 3.2)."""

from functools import cached_property

from torch import Tensor

from omnivl.registry import MODELS

from ..interfaces import KeyValues
from ..losses import TextPrediction
from .retrieval import OmniVLRetrieval, RetrievalStep


class PretrainingStep(RetrievalStep):
    """A step that also predicts the text, token by token."""

    made_with = {**RetrievalStep.made_with, 'language': ('generation_decoder',)}

    @cached_property
    def writing_key_values(self) -> KeyValues:
        """What the generation decoder looks up in the visuals, one (key, value) pair per layer."""
        trunk = self.model.trunk
        return self.match_key_values if trunk.shares_key_values else trunk.writing_key_values(self.visual.tokens)

    @cached_property
    def language(self) -> TextPrediction:
        """What the generation decoder says of each token of the texts."""
        trunk = self.model.trunk
        if self.model.micro_batches == 1:
            return trunk.predict_text(*self.batch.texts, self.writing_key_values)

        def predict(visual_tokens: Tensor, text_ids: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
            """Predict some of the texts."""
            return trunk.predict_text(text_ids, text_mask, trunk.writing_key_values(visual_tokens))[:2]

        tokens, targets = self.in_parts(predict, self.visual.tokens, *self.batch.texts)
        return TextPrediction(tokens, targets, trunk.generation_decoder.to_logits)


@MODELS.register_module()
class OmniVLPretrain(OmniVLRetrieval):
    """A trunk with the paper's three losses, or any others that a step serves; arguments as ``OmniVLRetrieval``.

    The paper sums the losses with weights that it does not give; BLIP's are 1, 1, 1.
    """

    step_type = PretrainingStep
