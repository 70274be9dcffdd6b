"""Captioning: the generation decoder looks at the visual and writes, behind a prompt (as BLIP, 2201.12086)."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import VLBatch, VLDataSample

from ..interfaces import TextTokenizer, Writing
from ..losses import TextPrediction
from ..losses.language import IGNORED
from ..omnivl import prompt_ids
from ..writing import write_texts
from .base import ModelOptions, TrainingStep, TrunkModel


class CaptionStep(TrainingStep):
    """A step that predicts the captions behind the prompt."""

    model: 'OmniVLCaption'

    @cached_property
    def language(self) -> TextPrediction:
        """What the decoder says of the P tokens of the prompt, which do not count, and of the L - 1 of the captions."""
        key_values = self.model.trunk.writing_key_values(self.visual.tokens)
        text_ids, text_mask = self.model.with_prompt(*self.batch.texts)
        prediction = self.model.trunk.predict_text(text_ids, text_mask, key_values)
        prediction.targets[:, : len(self.model.prompt_ids)] = IGNORED
        return prediction


@MODELS.register_module()
class OmniVLCaption(TrunkModel):
    """A trunk of visual encoder and generation decoder that describes images and videos, behind a prompt.

    Args:
        trunk: Config of the trunk.
        prompt: Words that every caption begins with ('a picture of' in BLIP). Put before the captions here and nowhere
            else, left out of the loss as in BLIP, and what evaluations and inferencer begin with unless told otherwise.
        label_smoothing: Probability mass spread over the vocabulary (0.1 in BLIP).
        **options: See ``TrunkModel``.
    """

    step_type = CaptionStep

    def __init__(
        self,
        trunk: dict,
        prompt: str = '',
        label_smoothing: float = 0.1,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(
            trunk=trunk,
            losses=[dict(type='LanguageLoss', label_smoothing=label_smoothing)],
            parts=('visual_encoder', 'generation_decoder'),
            **options,
        )
        self.prompt = prompt

    @cached_property
    def prompt_ids(self) -> list[int]:
        """Token ids of the prompt, made once."""
        return prompt_ids(self.trunk.tokenizer, self.prompt)

    def with_prompt(self, text_ids: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Put the P tokens of the prompt behind [CLS]: int64 and bool (B, L) to (B, P + L)."""
        prompt = text_ids.new_tensor(self.prompt_ids).expand(len(text_ids), -1)  # (B, P)
        text_ids = torch.cat([text_ids[:, :1], prompt, text_ids[:, 1:]], dim=1)
        mask = torch.ones_like(prompt, dtype=torch.bool)
        return text_ids, torch.cat([text_mask[:, :1], mask, text_mask[:, 1:]], dim=1)

    @property
    def tokenizer(self) -> TextTokenizer:
        """The text tokenizer of the trunk."""
        return self.trunk.tokenizer

    def begin_writing(self, visual_tokens: Tensor, prompt: str | None = None) -> Writing:
        """Prepare to write about visual tokens (B, S, D), behind a prompt (None = the model's)."""
        return self.trunk.begin_writing(visual_tokens, self.prompt if prompt is None else prompt)

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute ``loss_lm``, the mean over the tokens of the captions, their end included."""
        if batch.text_ids is None:
            raise OmniVLValueError(
                'captioning needs a text for every visual: use PairDataset, and TokenizeText in its pipeline'
            )
        return super().loss(batch)

    @torch.no_grad()
    def predict(self, batch: VLBatch, data_samples: Sequence[VLDataSample]) -> list[VLDataSample]:
        """Put the caption of a beam search with 3 beams, and its score, into the samples.

        The fields are ``pred_caption`` and ``pred_score``.
        """
        tokens = self.encode(batch).tokens
        written = write_texts(self, tokens, dict(beam=dict(num_beams=3)))['beam']
        for sample, (caption, score) in zip(data_samples, written):
            sample.set_field(caption, 'pred_caption')
            sample.set_field(score, 'pred_score')
        return list(data_samples)
