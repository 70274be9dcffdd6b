"""Bringing visuals and texts together: contrast, and matching with hard negatives (OmniVL, section 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import torch
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor, nn
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import VisualFeatures, VLBatch

from ..distributed import fetch_rows, gather_batch, with_fetched_texts
from ..interfaces import KeyValues
from ..layers.recompute import run_in_parts
from ..losses.negatives import MatchingPairs, text_keys
from ..momentum import Candidates, FeatureQueues, MomentumEncoder
from ..omnivl import PARTS
from .base import ModelOptions, TrainingStep, TrunkModel

FOLLOWED = ('visual_encoder', 'text_encoder', 'visual_proj', 'text_proj')


class RetrievalStep(TrainingStep):
    """A step with contrastive features and matching pairs.

    Attributes:
        candidates: What the features are compared with; the model puts it here, since making it changes the momentum
            encoder.
    """

    model: 'OmniVLRetrieval'
    candidates: Candidates | None = None
    made_with = {
        'visual_feature': ('visual_proj',),
        'text_feature': ('text_encoder', 'text_proj'),
        'temperature': ('temperature',),
        'candidates': FOLLOWED,
        'pairs': (*FOLLOWED, 'temperature'),
        'match_logits': (*FOLLOWED, 'temperature', 'alignment_decoder', 'matching_head'),
    }

    def in_parts(self, function: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> tuple[Tensor, ...]:
        """Call a function on the micro-batches of the step, see ``run_in_parts``."""
        return run_in_parts(function, self.model.micro_batches, *tensors)

    @cached_property
    def visual(self) -> VisualFeatures:
        """Tokens (B, S, D) and vectors (B, D) of the visuals."""
        batch = self.batch

        def encode(frames: Tensor) -> VisualFeatures:
            """Encode some of them."""
            return self.model.trunk.encode(replace(batch, inputs={batch.modality: frames}))

        return VisualFeatures(*self.in_parts(encode, batch.frames))

    @cached_property
    def visual_feature(self) -> Tensor:
        """Unit vectors of the visuals, float (B, E)."""
        return self.model.trunk.project_visual(self.visual.pooled)

    @cached_property
    def text_feature(self) -> Tensor:
        """Unit vectors of the texts, float (B, E)."""
        return self.in_parts(lambda *texts: (self.model.trunk.embed_text(*texts),), *self.batch.texts)[0]

    @cached_property
    def temperature(self) -> Tensor:
        """The temperature of the contrast, a scalar."""
        return self.model.trunk.temperature()

    @cached_property
    def target_ids(self) -> Tensor:
        """Labels that decide positives, int64 (B,)."""
        return self.model.target_ids(self.batch)

    @cached_property
    def match_key_values(self) -> KeyValues:
        """What the alignment decoder looks up in the visuals, one (key, value) pair per layer."""
        return self.model.trunk.matching_key_values(self.visual.tokens)

    @cached_property
    def pairs(self) -> MatchingPairs:
        """The 3B pairs of the step."""
        return self.model.negatives(
            self.visual_feature.detach(),
            self.text_feature.detach(),
            torch.stack([self.target_ids, text_keys(*self.batch.texts)], dim=1),
            self.temperature.detach(),
            self.has_label,
            self.partners,
        )

    @property
    def partners(self) -> tuple[Tensor, Tensor] | None:
        """Momentum features of this rank's visuals and texts, float (B, E) each; None where no loss has candidates."""
        if self.candidates is None:
            return None
        count = self.visual_feature.shape[0]
        own = slice(dist.get_rank() * count, (dist.get_rank() + 1) * count)
        return self.candidates.visual[own], self.candidates.text[own]

    @cached_property
    def match_logits(self) -> Tensor:
        """Scores of the pairs, float (3B, 2), in one pass, or in one for each micro-batch."""
        if self.model.micro_batches > 1:
            return self._match_logits_in_parts()
        key_values, texts = self.match_key_values, self.batch.texts
        if self.pairs.wanted_visuals is not None and self.pairs.wanted_texts is not None:
            tokens = fetch_rows(self.visual.tokens, self.pairs.wanted_visuals)
            fetched = self.model.trunk.matching_key_values(tokens)
            key_values = [
                (torch.cat([key, other_key]), torch.cat([value, other_value]))
                for (key, value), (other_key, other_value) in zip(key_values, fetched)
            ]
            texts = with_fetched_texts(*texts, self.pairs.wanted_texts)
        text_ids, text_mask = (tensor[self.pairs.text_index] for tensor in texts)
        return self.model.trunk.match_logits(text_ids, text_mask, key_values, self.pairs.visual_index)

    def _match_logits_in_parts(self) -> Tensor:
        """Score the pairs of some samples at a time; of wrong visuals, keys and values are made once more."""
        if self.pairs.wanted_visuals is not None:
            raise OmniVLValueError(
                f'model.micro_batches={self.model.micro_batches} scores pairs of this rank alone, and '
                'model.negatives.all_ranks=True fetches those of others: leave one of the two off'
            )
        trunk = self.model.trunk

        def score(visuals: Tensor, texts: Tensor) -> tuple[Tensor]:
            """Score the pairs, int64 (b, 3) of the kinds of ``MatchingPairs``, of b samples: float (b, 3, 2)."""
            own = torch.arange(visuals.shape[0], device=visuals.device)
            key_values = trunk.matching_key_values(self.visual.tokens[visuals[:, :2].T.flatten()])
            text_ids, text_mask = (tensor[texts.T.flatten()] for tensor in self.batch.texts)
            visual_index = torch.cat([own, own + visuals.shape[0], own])
            logits = trunk.match_logits(text_ids, text_mask, key_values, visual_index)
            return (logits.unflatten(0, (3, -1)).transpose(0, 1),)

        kinds = (index.unflatten(0, (3, -1)).T for index in (self.pairs.visual_index, self.pairs.text_index))
        return self.in_parts(score, *kinds)[0].transpose(0, 1).flatten(0, 1)


@MODELS.register_module()
class OmniVLRetrieval(TrunkModel):
    """A trunk with a contrastive loss, matching, or both; with the momentum encoder and the queues of the contrast.

    Args:
        trunk: Config of the trunk.
        losses: Configs of the losses, such as UniVLC and VLM.
        negatives: Config of what draws the pairs of VLM.
        use_labels: Whether labels decide what belongs together. Without, every pair is its own and only positive: the
            plain contrastive loss of the paper's ablation.
        queue_length: Places M of the three queues (57600 in BLIP).
        momentum: Of the momentum encoder (0.995 in BLIP).
        momentum_ramp: Whether the momentum encoder starts faster, see ``MomentumEncoder``.
        micro_batches: Parts in which a batch goes through the networks. The losses are those of the whole batch, with
            the activations of one part at a time, for another forward pass: contrast wants large batches.
        parts: See ``TrunkModel``; by default what the losses need.
        **options: See ``TrunkModel``.
    """

    step_type: type[RetrievalStep] = RetrievalStep

    def __init__(
        self,
        trunk: dict,
        losses: Sequence[dict],
        negatives: dict | None = None,
        use_labels: bool = True,
        queue_length: int = 57600,
        momentum: float = 0.995,
        momentum_ramp: bool = False,
        micro_batches: int = 1,
        parts: Sequence[str] = ('visual_encoder',),
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(trunk=trunk, losses=losses, parts=parts, **options)
        needs = {need for loss in self.step_losses for need in loss.needs}
        if not needs:
            raise OmniVLValueError('model.losses is empty: give at least one (a TrunkModel is not trained)')
        if 'pairs' in needs and 'visual_feature' not in needs:
            raise OmniVLValueError(
                f'{self.loss_names} of model.losses have negatives chosen by contrastive features that no loss trains: '
                'give a contrastive loss such as UniVLCLoss too'
            )
        if micro_batches < 1:
            raise OmniVLValueError(f'micro_batches must be at least 1, got {micro_batches} (set model.micro_batches)')
        self.micro_batches = micro_batches
        self.use_labels = use_labels
        self.negatives = MODELS.build(negatives or dict(type='HardNegatives'))
        self.momentum_encoder: MomentumEncoder | None = None
        if 'candidates' in needs:
            self.momentum_encoder = MomentumEncoder(self.followed, momentum, momentum_ramp)
            self.queues = FeatureQueues(self.trunk.visual_proj.out_features, queue_length)

    @classmethod
    def for_use(cls, config: dict) -> dict:
        """Keep the trunk with the parts that were trained: no losses, momentum encoder and queues."""
        needs = {need for loss in config['losses'] for need in MODELS.build(loss).needs}
        made_with = {part for need in needs for part in cls.step_type.made_with.get(need, ())}
        parts = [part for part in PARTS if part in {*made_with, *config.get('parts', ('visual_encoder',))}]
        kept = {key: config[key] for key in ('trunk', 'data_preprocessor') if key in config}
        return dict(kept, type=TrunkModel, parts=parts)

    @property
    def followed(self) -> dict[str, nn.Module]:
        """The modules that the momentum encoder follows."""
        return {name: self.parts[name] for name in FOLLOWED}

    def after_load(self) -> None:
        """Let the momentum encoder start from the weights just loaded (not on resume, where it has its own)."""
        if self.momentum_encoder is not None:
            self.momentum_encoder.copy_from(self.followed)

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute the losses of one training step, and move the momentum encoder and the queues.

        Where several batches make an update, the momentum encoder moves with the first, and the features of each are
        candidates of those after it, through the queues, which so end as one batch of them all would leave them.

        Args:
            batch: Visuals, a text for each, and target ids where labels decide what belongs together.

        Returns:
            ``loss_<name>`` (scalars; those that the task of the batch asks for), and for the log ``temperature``,
            ``queue_fill`` and ``matching_left_out`` (pairs without a negative, on this rank).

        Raises:
            OmniVLValueError: The batch has no text, or no target ids where they are needed.
        """
        self._check(batch)
        losses = self.losses_of(batch)
        needs = {need for loss in losses for need in loss.needs}
        step = self.step_type(self, batch)
        log: dict[str, Tensor] = {}
        momentum = self.momentum_encoder if 'candidates' in needs else None
        if momentum is not None:
            self.trunk.temperature.clamp()
            target_ids = step.target_ids  # may be refused: before anything moves
            if batch.part == 0:  # as for one batch of all parts
                momentum.update(self.followed)
            fresh = self.momentum_features(momentum, step.batch, target_ids)
            step.candidates = self.queues.candidates(*fresh)
            log |= dict(temperature=self.trunk.temperature().detach().clone(), queue_fill=self.queues.share_filled)
        # The backward pass begins with what is computed last: the many pairs of VLM go before gradients of LM come.
        values = {loss.name: step.apply(loss) for loss in reversed(losses)}
        results = {f'loss_{loss.name}': values[loss.name] for loss in losses}
        if momentum is not None:
            self.queues.push(*fresh)
        if 'pairs' in needs:
            log['matching_left_out'] = (~step.pairs.valid).sum().float()
        return results | log

    def _check(self, batch: VLBatch) -> None:
        if batch.text_ids is None:
            raise OmniVLValueError(
                f'{type(self).__name__} needs a text for every visual: add TokenizeText to the pipeline'
            )

    def target_ids(self, batch: VLBatch) -> Tensor:
        """Return the labels that decide positives, int64 (B,).

        Without labels each sample has a number of its own, which its views share.
        """
        if self.use_labels:
            if batch.target_ids is None:
                raise OmniVLValueError(
                    'labels decide what belongs together, and a sample has no target_id: use PairDataset or '
                    'LabelDataset, or set model.use_labels=False for the plain contrastive loss'
                )
            return batch.target_ids
        # Fields of their own for step, rank, part and place: batches of different tasks differ in size.
        first = torch.tensor((dist.get_rank() << 24) + (batch.part << 16), device=batch.frames.device)
        if self.momentum_encoder is not None:
            first = first + (self.momentum_encoder.num_updates << 40)
        return first + torch.arange(len(batch), device=batch.frames.device) // batch.views_in_row

    @torch.no_grad()
    def momentum_features(
        self, momentum: MomentumEncoder, batch: VLBatch, target_ids: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode the batches of all ranks by the momentum encoder: visual (R * B, E), text (R * B, E), labels."""
        averages = momentum.averages

        def embed(frames: Tensor, *texts: Tensor) -> tuple[Tensor, Tensor]:
            """Encode some samples."""
            visual = averages['visual_proj'](averages['visual_encoder'](frames, batch.modality).pooled)
            return visual, averages['text_proj'](averages['text_encoder'](*texts, first_only=True).pooled)

        visual, text = run_in_parts(embed, self.micro_batches, batch.frames, *batch.texts)
        unit = [F.normalize(feature.float(), dim=-1) for feature in (visual, text)]
        return gather_batch(unit[0]), gather_batch(unit[1]), gather_batch(target_ids)
