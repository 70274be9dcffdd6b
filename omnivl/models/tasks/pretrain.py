"""Pretraining with UniVLC, VLM and LM (OmniVL, 2209.07526, section 3.2)."""

import torch
from mmengine import dist
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import VLBatch

from .distributed import gather_batch
from .layers.attention import VisualKeyValues
from .losses.matching import MatchingPairs
from .momentum import Candidates, FeatureQueues, MomentumTwin
from .omnivl import OmniVL

FOLLOWED = ('visual_encoder', 'text_encoder', 'visual_proj', 'text_proj')


@MODELS.register_module()
class OmniVLPretrain(OmniVL):
    """The trunk with the three losses, the momentum twin and the queues.

    A loss that is None is not computed, nor what only it needs: LM alone is caption finetuning, UniVLC with VLM
    retrieval finetuning. The paper sums the three with weights it does not give; BLIP's are 1, 1, 1.

    Args:
        contrastive_loss: Config of UniVLC.
        matching_loss: Config of VLM; needs the contrastive features to choose its negatives.
        language_loss: Config of LM.
        queue_length: Places M of the three queues (57600 in BLIP).
        momentum: Of the twin (0.995 in BLIP).
        momentum_ramp: Whether the twin starts faster, see ``MomentumTwin``.
        **trunk: Arguments of ``OmniVL``.
    """

    def __init__(
        self,
        contrastive_loss: dict | None = None,
        matching_loss: dict | None = None,
        language_loss: dict | None = None,
        queue_length: int = 57600,
        momentum: float = 0.995,
        momentum_ramp: bool = False,
        **trunk,
    ) -> None:
        super().__init__(**trunk)
        if not (contrastive_loss or matching_loss or language_loss):
            raise OmniVLValueError('at least one of contrastive_loss, matching_loss and language_loss must be given')
        if matching_loss and not contrastive_loss:
            raise OmniVLValueError(
                'matching_loss chooses its negatives by the contrastive features: give contrastive_loss too'
            )
        self.contrastive_loss = MODELS.build(contrastive_loss) if contrastive_loss else None
        self.matching_loss = MODELS.build(matching_loss) if matching_loss else None
        self.language_loss = MODELS.build(language_loss) if language_loss else None
        if self.contrastive_loss is not None:
            self.momentum_twin = MomentumTwin(self.followed, momentum, momentum_ramp)
            self.queues = FeatureQueues(self.visual_proj.out_features, queue_length)

    @property
    def followed(self) -> dict[str, torch.nn.Module]:
        """The modules that the momentum twin follows."""
        return {name: getattr(self, name) for name in FOLLOWED}

    @property
    def temperature(self) -> Tensor:
        """Temperature of the contrastive loss, a scalar."""
        if self.contrastive_loss is None:
            raise OmniVLValueError('a model without contrastive_loss has no temperature')
        return self.contrastive_loss.temperature

    def after_load(self) -> None:
        """Let the momentum twin start from the weights just loaded (not on resume, where it has its own)."""
        if self.contrastive_loss is not None:
            self.momentum_twin.copy_from(self.followed)

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute the losses of one training step; moves the momentum twin and the queues.

        Returns:
            ``loss_univlc``, ``loss_vlm``, ``loss_lm`` (scalars; those asked for), and for the log ``temperature``,
            ``queue_fill`` and ``matching_left_out`` (pairs without a negative, on this rank).

        Raises:
            OmniVLValueError: The batch has no text, or no target ids where UniVLC needs them.
        """
        self._check(batch)
        visual = self.encode_visual(batch.frames, batch.modality)
        results = {}
        if self.contrastive_loss is not None:
            visual_feature = self.project_visual(visual.pooled)  # (B, E)
            text_feature = self.project_text(self.encode_text(batch.text_ids, batch.text_mask).pooled)  # (B, E)
            target_ids = self.target_ids(batch)
            self.contrastive_loss.clamp_temperature()
            self.momentum_twin.update(self.followed)
            fresh = self.momentum_features(batch, target_ids)
            candidates = self.queues.candidates(*fresh)
            results |= self.contrast(visual_feature, text_feature, target_ids, candidates)
            self.queues.push(*fresh)
        if self.matching_loss is None and self.language_loss is None:
            return results
        key_values = self.visual_key_values(visual.tokens, self.decoders_used)
        if self.matching_loss is not None:
            pairs = self.matching_loss.sample_pairs(visual_feature, text_feature, target_ids, self.temperature)
            results |= self.match(batch, key_values, pairs)
        if self.language_loss is not None:
            results['loss_lm'] = self.language_loss(*self.language_logits(batch.text_ids, batch.text_mask, key_values))
        return results

    @property
    def decoders_used(self) -> list[str]:
        """Names of the decoders that the losses need."""
        used = dict(alignment=self.matching_loss, generation=self.language_loss)
        return [name for name, loss in used.items() if loss is not None]

    def _check(self, batch: VLBatch) -> None:
        if batch.text_ids is None:
            raise OmniVLValueError('pretraining needs a text for every visual: add TokenizeText to the pipeline')
        if self.contrastive_loss is not None and self.contrastive_loss.use_labels and batch.target_ids is None:
            raise OmniVLValueError(
                'UniVLC needs a target_id for every sample: use PairDataset or LabelDataset, or set '
                'contrastive_loss.use_labels=False for the plain contrastive loss'
            )

    def target_ids(self, batch: VLBatch) -> Tensor:
        """The labels that decide positives, int64 (B,); without labels a number that no other sample ever has."""
        if self.contrastive_loss.use_labels:
            return batch.target_ids
        # Fields of their own for step, rank and place: batches of images and of videos differ in size.
        first = (self.momentum_twin.num_updates << 40) + (dist.get_rank() << 24)
        return first + torch.arange(len(batch), device=batch.text_ids.device)

    @torch.no_grad()
    def momentum_features(self, batch: VLBatch, target_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the batches of all ranks by the momentum twin: visual (R * B, E), text (R * B, E), labels."""
        twins = self.momentum_twin.twins
        visual = twins['visual_proj'](twins['visual_encoder'](batch.frames, batch.modality).pooled)
        text = twins['text_proj'](twins['text_encoder'](batch.text_ids, batch.text_mask).pooled)
        unit = [torch.nn.functional.normalize(feature.float(), dim=-1) for feature in (visual, text)]
        return gather_batch(unit[0]), gather_batch(unit[1]), gather_batch(target_ids)

    def contrast(self, visual: Tensor, text: Tensor, target_ids: Tensor, candidates: Candidates) -> dict[str, Tensor]:
        """UniVLC of unit vectors (B, E), and what the log shows of it."""
        return dict(
            loss_univlc=self.contrastive_loss(visual, text, target_ids, candidates),
            temperature=self.temperature.detach().clone(),
            queue_fill=self.queues.fill.float() / max(self.queues.length, 1),
        )

    def match(self, batch: VLBatch, key_values: VisualKeyValues, pairs: MatchingPairs) -> dict[str, Tensor]:
        """VLM over the 3B pairs, in one pass, and how many of them were left out."""
        text_ids, text_mask = batch.text_ids[pairs.text_index], batch.text_mask[pairs.text_index]
        logits = self.match_logits(text_ids, text_mask, key_values, pairs.visual_index)
        return dict(
            loss_vlm=self.matching_loss(logits, pairs),
            matching_left_out=(~pairs.valid).sum().float(),
        )
