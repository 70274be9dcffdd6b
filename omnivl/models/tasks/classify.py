"""Classification of images and videos by a linear head on the visual's [CLS] vector."""

from collections.abc import Mapping
from functools import cached_property
from typing import cast

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import VLBatch, VLDataSample

from .base import ModelOptions, TrainingStep, TrunkModel

HEAD_STD = 0.01  # small, so that the first predictions are even and the trunk's first gradients are small


class ClassStep(TrainingStep):
    """A step that scores the classes."""

    model: 'OmniVLClassifier'

    @cached_property
    def class_logits(self) -> Tensor:
        """Logits of the classes, float (B, C)."""
        return self.model.classify(self.batch)

    @property
    def labels(self) -> Tensor:
        """The true classes, int64 (B,)."""
        return cast(Tensor, self.batch.labels)  # see ``OmniVLClassifier.loss``


@MODELS.register_module()
class OmniVLClassifier(TrunkModel):
    """A visual encoder with a linear head, finetuned on the classes of one data set.

    The paper adds no parts of its own for a task (2209.07526); that the head reads [CLS] is the habit of ViTs.

    Args:
        trunk: Config of the trunk.
        num_classes: Number of classes C.
        label_smoothing: Probability mass spread over all classes.
        dropout: Of the [CLS] vector, in training.
        **options: See ``TrunkModel``.
    """

    step_type = ClassStep

    def __init__(
        self,
        trunk: dict,
        num_classes: int,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(
            trunk=trunk,
            losses=[dict(type='ClassLoss', label_smoothing=label_smoothing)],
            parts=('visual_encoder',),
            **options,
        )
        if num_classes < 2:
            raise OmniVLValueError(f'num_classes must be at least 2, got {num_classes} (set model.num_classes)')
        if not 0 <= dropout < 1:
            raise OmniVLValueError(f'dropout must be in [0, 1), got {dropout}')
        self.num_classes = num_classes
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.trunk.visual_encoder.width, num_classes)
        nn.init.normal_(self.head.weight, std=HEAD_STD)
        nn.init.zeros_(self.head.bias)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Name -> part; a checkpoint of a classifier has a head, too."""
        return {**self.trunk.parts, 'head': self.head}

    def adapt_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Fit weights about to be loaded; a head for another number of classes starts anew."""
        super().adapt_state_dict(state_dict)
        weight = state_dict.get('head.weight')
        if weight is not None and len(weight) != self.num_classes:
            print_log(
                f'head: left at its initial value, as that of the weights is for {len(weight)} classes and this one '
                f'for {self.num_classes}',
                'current',
            )
            for key in ('head.weight', 'head.bias'):
                state_dict.pop(key, None)

    def classify(self, batch: VLBatch) -> Tensor:
        """Score the classes: logits, float (B, C)."""
        return self.head(self.dropout(self.encode(batch).pooled))

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute ``loss_class``, the mean cross-entropy; a label that is missing or is no class is refused."""
        if batch.labels is None:
            raise OmniVLValueError('the batch has samples without a label: train on LabelDatasets')
        highest = int(batch.labels.max())
        if highest >= self.num_classes:
            raise OmniVLValueError(
                f'label {highest} is not one of the {self.num_classes} classes 0..{self.num_classes - 1}: set '
                'model.num_classes to the number of classes of the data set'
            )
        return super().loss(batch)

    @torch.no_grad()
    def predict(self, batch: VLBatch, data_samples: list[VLDataSample]) -> list[VLDataSample]:
        """Put the likeliest class and the probabilities into the samples: ``pred_label``, ``pred_scores`` (C,)."""
        probabilities = self.classify(batch).float().softmax(dim=1).cpu()
        for sample, scores in zip(data_samples, probabilities):
            sample.set_field(int(scores.argmax()), 'pred_label')
            sample.set_field(scores, 'pred_scores')
        return data_samples
