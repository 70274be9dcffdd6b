"""What a CoCa is trained for: contrast and captions in one forward pass, and classes by one more pooler."""

from functools import cached_property

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.models import OmniVLClassifier, TrunkModel
from omnivl.models.layers import AttentionalPooler
from omnivl.models.losses import TextPrediction
from omnivl.models.tasks import TrainingStep
from omnivl.models.tasks.base import ModelOptions
from omnivl.registry import MODELS
from omnivl.structures import TextFeatures, VLBatch

from .trunk import CoCa


class CoCaStep(TrainingStep):
    """A step in which texts go through the unimodal half once, for both losses."""

    model: 'CoCaPretrain'
    made_with = {
        'visual_feature': ('visual_proj',),
        'text_feature': ('text_encoder', 'text_proj'),
        'temperature': ('temperature',),
        'language': ('text_encoder', 'text_decoder'),
    }

    @cached_property
    def text(self) -> TextFeatures:
        """Tokens (B, L, D) and vectors (B, D) of the texts."""
        return self.model.trunk.encode_text(*self.batch.texts)

    @cached_property
    def visual_feature(self) -> Tensor:
        """Unit vectors of the visuals, float (B, E)."""
        return self.model.trunk.project_visual(self.visual.pooled)

    @cached_property
    def text_feature(self) -> Tensor:
        """Unit vectors of the texts, float (B, E)."""
        return self.model.trunk.project_text(self.text.pooled)

    @cached_property
    def temperature(self) -> Tensor:
        """The temperature of the contrast, a scalar."""
        return self.model.trunk.temperature()

    @cached_property
    def positives(self) -> Tensor | None:
        """Labels that decide what belongs together, int64 (B,); None = nothing but the pair."""
        return self.batch.target_ids if self.model.use_labels else None

    @cached_property
    def language(self) -> TextPrediction:
        """What the decoder says of each token of the texts."""
        trunk = self.model.trunk
        return trunk.predict_text(self.text.tokens, *self.batch.texts, trunk.writing_key_values(self.visual.tokens))


@MODELS.register_module()
class CoCaPretrain(TrunkModel):
    """A CoCa with its two losses (2205.01917, section 3.2), to pretrain or to finetune on captions and retrieval.

    Args:
        trunk: Config of the trunk.
        contrastive_weight: Factor of the contrast; 0 = it is not computed, and what only it uses is not built.
        caption_weight: Factor of the captions (2 in the paper), or 0 likewise.
        use_labels: Whether equal labels are positives of each other in the contrast; in the paper they are not.
        prompt: Words that what is written begins with, unless told otherwise.
        **options: See ``TrunkModel``.
    """

    step_type = CoCaStep
    trunk: CoCa

    def __init__(
        self,
        trunk: dict,
        contrastive_weight: float = 1.0,
        caption_weight: float = 2.0,
        use_labels: bool = False,
        prompt: str = '',
        **options: Unpack[ModelOptions],
    ) -> None:
        losses = [
            dict(type='ContrastLoss', weight=contrastive_weight),
            dict(type='LanguageLoss', label_smoothing=0.0, weight=caption_weight),
        ]
        losses = [loss for loss in losses if loss['weight']]
        if not losses or min(contrastive_weight, caption_weight) < 0:
            raise OmniVLValueError(
                f'contrastive_weight={contrastive_weight} and caption_weight={caption_weight}: neither may be negative '
                'and one must be above 0 (model.contrastive_weight, model.caption_weight)'
            )
        super().__init__(trunk=trunk, losses=losses, parts=('visual_encoder', 'pooler'), **options)
        self.use_labels = use_labels
        self.trunk.prompt = prompt

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute ``loss_contrast`` and ``loss_lm``, each with its weight, and for the log ``temperature``."""
        if batch.text_ids is None:
            raise OmniVLValueError(
                f'{type(self).__name__} needs a text for every visual: add TokenizeText to the pipeline, and templates '
                'to a set of labels'
            )
        if 'contrast' not in self.losses:
            return super().loss(batch)
        if self.use_labels and batch.target_ids is None:
            raise OmniVLValueError(
                'use_labels=True needs a target_id of each sample: use PairDataset or LabelDataset, or set '
                'model.use_labels=False'
            )
        self.trunk.temperature.clamp()
        return super().loss(batch) | dict(temperature=self.trunk.temperature().detach().clone())


@MODELS.register_module()
class CoCaClassifier(OmniVLClassifier):
    """An image encoder with one more attentional pooler, of a single query, over the tokens of all frames, and a head.

    As the paper classifies images and videos (2205.01917, section 4): pooler and head learn, the encoder is frozen or
    finetuned.

    Args:
        trunk: Config of the trunk; a ``VisualTrunk`` with an ``ImageEncoder``.
        num_classes: Number of classes C.
        frozen: Whether the image encoder stays as it is.
        num_heads: Of the pooler.
        label_smoothing: Probability mass spread over all classes.
        dropout: Of the pooled vector, in training.
        **options: See ``TrunkModel``.
    """

    def __init__(
        self,
        trunk: dict,
        num_classes: int,
        frozen: bool = False,
        num_heads: int = 8,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(trunk, num_classes, label_smoothing, dropout, **options)
        width = self.trunk.visual_encoder.width
        self.class_pooler = AttentionalPooler(width, width, num_heads)
        self.class_norm = nn.LayerNorm(width)
        self.frozen = frozen
        if frozen:
            self.trunk.requires_grad_(False)

    def train(self, mode: bool = True) -> 'CoCaClassifier':
        """Switch the mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Name -> part."""
        return {**super().parts, 'class_pooler': self.class_pooler, 'class_norm': self.class_norm}

    def classify(self, batch: VLBatch) -> Tensor:
        """Score the classes: logits, float (B, C)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            tokens = self.encode(batch).tokens
        return self.head(self.dropout(self.class_norm(self.class_pooler(tokens).squeeze(1))))
