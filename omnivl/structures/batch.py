"""What crosses the border between the data preprocessor, the encoders and the heads.

The one legend of shapes, for every file of the package: B samples, T frames, H W pixels, P patches per frame, S visual
tokens, L text tokens, D width, E width of the shared space, M length of the queues, V vocabulary, R ranks, A answers in
the batch, N text-visual pairs, K re-ranked candidates, h attention heads, d width of one head.
"""

from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError

from .modality import FRAMES, MODALITIES

# Fields with one entry for each sample.
PER_SAMPLE = ('text_ids', 'text_mask', 'target_ids', 'labels', 'has_label')


@dataclass
class VLBatch:
    """A batch of one task, ready for the model: padded, normalised and on the device.

    Attributes:
        inputs: Modality -> its values, the same modalities in every sample and on every rank. Of images and videos
            normalised pixels, float (B, T, 3, H, W); an image is a clip of one frame. Of sounds samples of one channel
            in [-1, 1], float (B, N).
        masks: Modality -> bool (B, N), True = real value; only of modalities that are padded or may be missing.
        pts_seconds: Modality -> time stamp of each value of a clip or sound, in seconds from the start of the file;
            float32 (B, T), NaN where it is not known.
        text_ids: Word-piece ids, [CLS] first and [SEP] last, padded to the longest of the batch; int64 (B, L).
        text_mask: bool (B, L), True = real token.
        target_ids: Samples with equal ids are positives of each other; int64 (B,).
        labels: Index of the class of each sample among those of its source; int64 (B,). Of samples with any number of
            C classes 1 for each that is there; int64 (B, C).
        has_label: Samples that are labelled visuals, whose text is made of their class; bool (B,).
        answer_ids: Answers to the questions that ``text_ids`` then holds, those of one sample after the other, [CLS]
            first and [SEP] last, padded; int64 (A, L).
        answer_mask: bool (A, L), True = real token.
        answer_weights: What each answer counts in the loss; float (A,).
        answer_owner: The sample of each answer; int64 (A,).
        num_views: Clips of T / num_views frames that lie one after the other in the frames of each sample.
        views_in_row: Visuals in a row that are views of one sample; above 1 after ``split_views``.
        task: Name of the task of the train loop; None outside of it.
        losses: Names of the losses that this task computes; None = all of the model.
        part: Number of this batch among those whose gradients make one update.
    """

    inputs: dict[str, Tensor]
    _: KW_ONLY
    masks: dict[str, Tensor] = field(default_factory=dict)
    pts_seconds: dict[str, Tensor] = field(default_factory=dict)
    text_ids: Tensor | None = None
    text_mask: Tensor | None = None
    target_ids: Tensor | None = None
    labels: Tensor | None = None
    has_label: Tensor | None = None
    answer_ids: Tensor | None = None
    answer_mask: Tensor | None = None
    answer_weights: Tensor | None = None
    answer_owner: Tensor | None = None
    num_views: int = 1
    views_in_row: int = 1
    task: str | None = None
    losses: tuple[str, ...] | None = None
    part: int = 0

    @property
    def texts(self) -> tuple[Tensor, Tensor]:
        """Ids, int64 (B, L), and mask, bool (B, L), of the texts; an ``OmniVLValueError`` where there are none."""
        if self.text_ids is None or self.text_mask is None:
            raise OmniVLValueError('the batch has no texts: add TokenizeText to the pipeline')
        return self.text_ids, self.text_mask

    @property
    def modality(self) -> str:
        """Name of what there is to see or, in a batch of sounds alone, to hear; none or several are an error."""
        visuals = [name for name in self.inputs if MODALITIES[name].kind == FRAMES]
        if len(shown := visuals or list(self.inputs)) != 1:
            raise OmniVLValueError(f'a batch shows one modality, this one has frames of {visuals}: {list(self.inputs)}')
        return shown[0]

    @property
    def frames(self) -> Tensor:
        """What there is to see: normalised pixels, float (B, T, 3, H, W); it is an error if there is nothing."""
        if MODALITIES[self.modality].kind != FRAMES:
            raise OmniVLValueError(f'a model of images and videos got a batch of {MODALITIES[self.modality].plural}')
        return self.inputs[self.modality]

    def split_views(self) -> 'VLBatch':
        """Make the V views of each sample visuals of their own, V in a row.

        Frames and their time stamps become (B * V, T, 3, H, W) and (B * V, T); the text, target, class, answers and
        other modalities of a sample are repeated for each of its views.
        """
        views = self.num_views
        if views == 1:
            return self

        def split(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            """Split what is seen, and repeat the rest."""
            return {
                name: tensor.unflatten(1, (views, -1)).flatten(0, 1)
                if MODALITIES[name].kind == FRAMES
                else tensor.repeat_interleave(views, dim=0)
                for name, tensor in tensors.items()
            }

        repeated: dict[str, Any] = {
            name: tensor.repeat_interleave(views, dim=0)
            for name in PER_SAMPLE
            if (tensor := getattr(self, name)) is not None
        }
        return replace(
            self,
            inputs=split(self.inputs),
            masks=split(self.masks),
            pts_seconds=split(self.pts_seconds),
            num_views=1,
            views_in_row=views,
            **(repeated | self._answers_of_views()),
        )

    def _answers_of_views(self) -> dict[str, Tensor]:
        """Repeat the answers for each view; those of one visual after the other."""
        if self.answer_owner is None or self.answer_ids is None:
            return {}
        view = torch.arange(self.num_views, device=self.answer_owner.device)
        owner, place = (self.answer_owner[:, None] * self.num_views + view).flatten().sort(stable=True)
        fields = {name: getattr(self, name) for name in ('answer_ids', 'answer_mask', 'answer_weights')}
        return {name: tensor[place // self.num_views] for name, tensor in fields.items()} | dict(answer_owner=owner)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


class VisualFeatures(NamedTuple):
    """Output of a visual encoder.

    Attributes:
        tokens: All normalised tokens, [CLS] first; float (B, S, D) with S = 1 + T' * P, frame after frame.
        pooled: The [CLS] token; float (B, D).
    """

    tokens: Tensor
    pooled: Tensor


class TextFeatures(NamedTuple):
    """Output of a text encoder or of a decoder.

    Attributes:
        tokens: One vector per word piece; float (B, L, D).
        pooled: The vector of the first token ([CLS] or [ENC]); float (B, D).
    """

    tokens: Tensor
    pooled: Tensor
