"""What every task model is: a trunk, and losses that each say what they need of a training step."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TypedDict, cast

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from omnivl.errors import OmniVLTypeError, OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import VisualFeatures, VLBatch, VLDataSample

from ..interfaces import Contrasts, offered_by
from ..losses import StepLoss
from ..omnivl import OmniVL


class ModelOptions(TypedDict, total=False):
    """Arguments of ``TrunkModel`` that tasks hand on as they are."""

    data_preprocessor: dict | None
    init_cfg: dict | None


class TrainingStep:
    """What the losses of one step may need, each computed when it is first asked for, and once.

    A loss names what it needs in ``needs``; a task states, as properties of its own kind of step, what there is.

    Args:
        model: The task model.
        batch: The batch; several views of a sample become visuals of their own, see ``VLBatch.split_views``.
    """

    # Value -> parts of the trunk that it is made with, so that a model holds what its losses use.
    made_with: Mapping[str, tuple[str, ...]] = {}

    def __init__(self, model: 'TrunkModel', batch: VLBatch) -> None:
        self.model = model
        self.batch = batch.split_views()

    @cached_property
    def visual(self) -> VisualFeatures:
        """Tokens (B, S, D) and vectors (B, D) of the visuals."""
        return self.model.trunk.encode(self.batch)

    @property
    def has_label(self) -> Tensor:
        """Which samples are labelled visuals, bool (B,)."""
        found = self.batch.has_label
        return (
            torch.zeros(len(self.batch), dtype=torch.bool, device=self.batch.frames.device) if found is None else found
        )

    @property
    def view_vectors(self) -> Tensor:
        """Vectors of the views of each sample, float (B / V, V, D); one view each is an ``OmniVLValueError``."""
        views = self.batch.views_in_row
        if views == 1:
            raise OmniVLValueError(
                'a loss compares views of a sample with each other, and the batch has one of each: put AugmentedViews '
                'into the pipeline'
            )
        return self.visual.pooled.unflatten(0, (-1, views))

    def apply(self, loss: StepLoss) -> Tensor:
        """Compute a loss, a scalar, from what it needs."""
        return loss(**{name: getattr(self, name) for name in loss.needs})


@MODELS.register_module()
class TrunkModel(BaseModel):
    """A trunk as a model of its own, to use and not to train, and the base of the tasks.

    Args:
        trunk: Config of the trunk.
        losses: Configs of losses, in the order in which they are logged.
        parts: Parts of the trunk to hold beside those that the losses need; None = all.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: See MMEngine's ``BaseModule``.
    """

    step_type: type[TrainingStep] = TrainingStep
    trunk: OmniVL  # or a VisualTrunk, for a task that needs no more of it

    def __init__(
        self,
        trunk: dict,
        losses: Sequence[dict] = (),
        parts: Collection[str] | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='VLDataPreprocessor')), init_cfg)
        built: list[StepLoss] = [MODELS.build(loss) for loss in losses]
        self._check_losses(built)
        needed = {part for loss in built for need in loss.needs for part in self.step_type.made_with.get(need, ())}
        self.trunk = MODELS.build(trunk if parts is None else dict(trunk, parts=sorted({*parts, *needed})))
        self.losses = nn.ModuleDict({loss.name: loss for loss in built})

    @classmethod
    def for_use(cls, config: dict) -> dict:
        """Turn the config of a trained model of this class into that of what is left when it is only used."""
        return dict(config)

    def _check_losses(self, losses: Sequence[StepLoss]) -> None:
        names = [loss.name for loss in losses]
        if len(set(names)) < len(names):
            raise OmniVLValueError(f'model.losses has {names}; each loss may be there once')
        for loss in losses:
            missing = [need for need in loss.needs if not hasattr(self.step_type, need)]
            if missing:
                raise OmniVLValueError(
                    f'{type(loss).__name__} needs {missing}, which a step of {type(self).__name__} does not have '
                    f'({self.step_type.__name__}); leave it out of model.losses, or take another task'
                )

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Name -> part; readers of weights fill these."""
        return self.trunk.parts

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses, in their order."""
        return tuple(self.losses)

    @property
    def step_losses(self) -> list[StepLoss]:
        """The losses, in their order."""
        return cast(list[StepLoss], list(self.losses.values()))

    def losses_of(self, batch: VLBatch) -> list[StepLoss]:
        """List the losses that the task of a batch computes: those it names, or all."""
        return [loss for loss in self.step_losses if batch.losses is None or loss.name in batch.losses]

    def adapt_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Fit weights about to be loaded to this model's resolution and clip length."""
        self.trunk.adapt_state_dict(state_dict)

    def after_load(self) -> None:
        """Do nothing: no part follows another."""

    def encode(self, batch: VLBatch) -> VisualFeatures:
        """Encode the visuals of a batch to tokens (B, S, D) and one vector each (B, D)."""
        return self.trunk.encode(batch)

    def forward(
        self, batch: VLBatch, data_samples: Sequence[VLDataSample] | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[VLDataSample]:
        """Route to ``loss``, ``predict`` or ``features`` (MMEngine's three modes).

        Args:
            batch: From the data preprocessor.
            data_samples: The samples of the batch.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            Losses and what the log shows beside them, the samples with predictions, or features.

        Raises:
            OmniVLValueError: ``mode`` is none of them.
        """
        if mode == 'loss':
            return self.loss(batch)
        if mode == 'predict':
            return self.predict(batch, list(data_samples or ()))
        if mode == 'tensor':
            return self.features(batch)
        raise OmniVLValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute the losses of a training step, ``loss_<name>`` each, a scalar; a model without losses is refused."""
        if not self.losses:
            raise OmniVLTypeError(f'this {type(self).__name__} has no losses: take a config that trains')
        step = self.step_type(self, batch)
        return {f'loss_{loss.name}': step.apply(loss) for loss in self.losses_of(batch)}

    def features(self, batch: VLBatch) -> dict[str, Tensor]:
        """Return ``visual`` and, where there is text, ``text``: unit vectors of the shared space, float (B, E).

        Without a shared space ``visual`` is the vector of the encoder, float (B, D).
        """
        pooled = self.encode(batch).pooled
        if offered_by(self, Contrasts) is None:
            return dict(visual=pooled)
        features = dict(visual=self.trunk.project_visual(pooled))
        if batch.text_ids is not None:
            features['text'] = self.trunk.embed_text(*batch.texts)
        return features

    @torch.no_grad()
    def predict(self, batch: VLBatch, data_samples: list[VLDataSample]) -> list[VLDataSample]:
        """Put the features of visual and text into the samples as ``visual_feature`` and ``text_feature``."""
        for name, values in self.features(batch).items():
            for sample, value in zip(data_samples, values):
                sample.set_field(value.cpu(), f'{name}_feature')
        return data_samples
