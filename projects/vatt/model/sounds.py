"""Classification of sounds by a linear head on the aggregation token, one class each or any number of them."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.models import TrunkModel
from omnivl.models.losses import StepLoss
from omnivl.models.tasks.base import ModelOptions
from omnivl.models.tasks.classify import HEAD_STD, ClassStep
from omnivl.registry import MODELS
from omnivl.structures import AUDIO, VLBatch

from .trunk import VATT


def rare_classes_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Judge each class by itself, and let samples of classes that are rare in the batch count more.

    Binary cross-entropy summed over classes; a sample weighs the mean, over its classes, of one over the number of
    samples that have the class. This is the loss with which the published code finetunes on AudioSet.

    Args:
        logits: float (B, C).
        targets: How much each class is there, float (B, C) in [0, 1].

    Returns:
        Scalar, float32.
    """
    losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction='none').sum(dim=1)
    found = targets.sum(dim=0)
    rarity = torch.where(found > 0, 1 / found.clamp(min=1e-6), 0.0)
    weights = (targets * rarity).sum(dim=1) / targets.sum(dim=1).clamp(min=1e-6)
    return (losses * weights).mean()


@MODELS.register_module()
class RareClassesLoss(StepLoss):
    """See ``rare_classes_loss``; arguments as ``StepLoss``."""

    name = 'class'
    needs = ('class_logits', 'labels')

    def forward(self, class_logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss, a scalar in float32, of logits (B, C) and targets (B, C)."""
        return self.weight * rare_classes_loss(class_logits, labels.float())


@MODELS.register_module()
class VATTAudioClassifier(TrunkModel):
    """An audio encoder with a linear head.

    Args:
        trunk: Config of the trunk, a ``VATT``, of which the audio encoder alone is built.
        num_classes: Number of classes C.
        multi_label: Whether a sample has any number of classes (``MultiLabelDataset``), or one (``LabelDataset``).
        mixup: Sounds of a training batch are mixed in pairs, and their classes too (1710.09412), by shares drawn from
            the beta distribution with this twice (5 in the published finetuning on AudioSet); 0 = they are not. For
            ``multi_label`` alone.
        dropout: Of the vector, in training.
        **options: See ``TrunkModel``.
    """

    step_type = ClassStep  # type: ignore[assignment]
    trunk: VATT  # type: ignore[assignment]

    def __init__(
        self,
        trunk: dict,
        num_classes: int,
        multi_label: bool = False,
        mixup: float = 0.0,
        dropout: float = 0.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        loss = dict(type='RareClassesLoss' if multi_label else 'ClassLoss')
        super().__init__(trunk=trunk, losses=[loss], parts=('audio_encoder',), **options)
        if num_classes < 2:
            raise OmniVLValueError(f'num_classes must be at least 2, got {num_classes} (set model.num_classes)')
        if mixup < 0 or (mixup and not multi_label):
            raise OmniVLValueError(f'mixup must be 0, or above with multi_label=True, got {mixup} (model.mixup)')
        self.num_classes, self.multi_label, self.mixup = num_classes, multi_label, mixup
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.trunk.audio_encoder.width, num_classes)
        nn.init.normal_(self.head.weight, std=HEAD_STD)
        nn.init.zeros_(self.head.bias)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Name -> part; a checkpoint of a classifier has a head, too."""
        return {**self.trunk.parts, 'head': self.head}

    def classify(self, batch: VLBatch) -> Tensor:
        """Score the classes: logits, float (B, C)."""
        return self.head(self.dropout(self.encode(batch).pooled))

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute ``loss_class``; labels that are missing or of the other kind are refused."""
        wanted: tuple[Any, ...] = (len(batch), self.num_classes) if self.multi_label else (len(batch),)
        if batch.labels is None or tuple(batch.labels.shape) != wanted:
            kind = 'MultiLabelDataset' if self.multi_label else 'LabelDataset'
            got = None if batch.labels is None else tuple(batch.labels.shape)
            raise OmniVLValueError(
                f'labels must be {wanted}, got {got}: train on a {kind} (model.multi_label, num_classes)'
            )
        return super().loss(self._mixed(batch) if self.training and self.mixup else batch)

    def _mixed(self, batch: VLBatch) -> VLBatch:
        """Mix each sound with another one of the batch."""
        waveform, labels = batch.inputs[AUDIO.name], batch.labels.float()  # type: ignore[union-attr]
        share = torch.distributions.Beta(self.mixup, self.mixup).sample((len(batch), 1)).to(waveform.device)
        other = torch.randperm(len(batch), device=waveform.device)
        mixed = share * waveform + (1 - share) * waveform[other]
        masks = {name: mask | mask[other] for name, mask in batch.masks.items()}
        labels = share * labels + (1 - share) * labels[other]
        return replace(batch, inputs={AUDIO.name: mixed}, masks=masks, labels=labels)
