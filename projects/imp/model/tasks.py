"""Training IMP (2305.06324): each step is one task, with its own modalities, dropped tokens and losses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import combinations
from typing import cast

import torch
from torch import Tensor
from typing_extensions import Unpack

from omnivl.datasets.prompts import fill_prompt
from omnivl.errors import OmniVLValueError
from omnivl.models.data_preprocessor import pad_text
from omnivl.models.mode import full_precision
from omnivl.models.tasks.base import ModelOptions, TrainingStep, TrunkModel
from omnivl.registry import ANNOTATIONS, MODELS
from omnivl.structures import FRAMES, MODALITIES, VLBatch

from .losses import Pair
from .trunk import IMP, SOUND, TEXT, VISUAL, pair_name


@dataclass
class TaskSettings:
    """What a task of the train loop has beside its data, batch size, share and losses, which its loader says.

    Attributes:
        drop: Share of the tokens that is left out, of ``'visual'`` and of ``'audio'``.
        classes: Names of the classes, in the order of the labels, or the annotations of the data set, which has them.
        prompt: The sentence that a class name is put into.
    """

    drop: Mapping[str, float] = field(default_factory=dict)
    classes: Sequence[str] | Mapping | None = None
    prompt: str = '{}'

    def __post_init__(self) -> None:
        """Refuse shares of modalities that lose no tokens, and shares that are none."""
        if bad := {name: rate for name, rate in self.drop.items() if name not in (VISUAL, SOUND) or not 0 <= rate < 1}:
            raise OmniVLValueError(
                f'drop must have shares in [0, 1) of {VISUAL!r} and {SOUND!r}, got {bad} (set model.tasks)'
            )

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the classes; read from the annotations at the first step that needs them."""
        if not isinstance(self.classes, Mapping):
            return list(self.classes or ())
        return list(ANNOTATIONS.build(dict(self.classes)).class_names or ())


def make_settings(task: str, settings: Mapping) -> TaskSettings:
    """Make the settings of a task of what a config says of it; a name that none has is refused."""
    known = [one.name for one in fields(TaskSettings)]
    if unknown := sorted(set(settings) - set(known)):
        raise OmniVLValueError(f'model.tasks.{task} has {unknown}; allowed are {known}')
    return TaskSettings(**settings)


class IMPStep(TrainingStep):
    """A step over the modalities that its batch has, each encoded at most once."""

    model: 'IMPPretrain'

    def __init__(self, model: 'IMPPretrain', batch: VLBatch) -> None:
        super().__init__(model, batch)
        self.settings = model.settings_of(batch)
        self.drop = self.settings.drop if model.training else {}
        self._vectors: dict[str, Tensor] = {}

    @property
    def sources(self) -> list[str]:
        """What there is to encode: ``'visual'``, ``'audio'``, ``'text'``."""
        seen = any(MODALITIES[name].kind == FRAMES for name in self.batch.inputs)
        there = {VISUAL: seen, SOUND: SOUND in self.batch.inputs, TEXT: self.batch.text_ids is not None}
        return [source for source, has in there.items() if has]

    def vector(self, source: str) -> Tensor:
        """Encode a modality of the batch: float (B, D)."""
        if source not in self._vectors:
            features = self.model.trunk.encode_source(self.batch, source, self.drop.get(source, 0.0))
            self._vectors[source] = features.pooled
        return self._vectors[source]

    def has(self, source: str) -> Tensor:
        """Tell which samples have a modality, bool (B,): those with real samples of sound, or with words."""
        if source == TEXT:
            return self.batch.texts[1].sum(dim=1) > 2  # more than [CLS] and [SEP]
        if source == SOUND and SOUND in self.batch.masks:
            return self.batch.masks[SOUND].any(dim=1)
        return torch.ones(len(self.batch), dtype=torch.bool, device=self.vector(source).device)

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs of modalities of the batch."""
        project, vectors = self.model.trunk.project, {source: self.vector(source) for source in self.sources}
        return [
            Pair(
                name=pair_name(one, other),
                one=project(vectors[one], one, other),
                other=project(vectors[other], other, one),
                temperature=self.model.trunk.temperatures[pair_name(one, other)](),
                real=self.has(one) & self.has(other),
            )
            for one, other in combinations(self.sources, 2)
        ]

    @property
    def positives(self) -> Tensor | None:
        """Labels that decide what belongs together, int64 (B,); None = each sample is its own."""
        return self.batch.target_ids if self.model.use_labels else None

    @cached_property
    def class_logits(self) -> Tensor:
        """Similarities with the class names, by the temperature: float32 (B, C)."""
        source = next((one for one in (VISUAL, SOUND) if one in self.sources), TEXT)
        trunk = self.model.trunk
        names = trunk.project(trunk.encode_text(*self.model.class_texts(self.batch)).pooled, TEXT, source)
        own = trunk.project(self.vector(source), source, TEXT)
        with full_precision(own.device.type):  # bf16 has 3 digits, as in ``univlc_loss``
            return own @ names.T / trunk.temperatures[pair_name(source, TEXT)]()

    @property
    def labels(self) -> Tensor:
        """The true classes, int64 (B,); of samples with several the share of each, float (B, C), as published."""
        labels = cast(Tensor, self.batch.labels)  # see ``IMPPretrain.loss``
        return labels if labels.ndim == 1 else labels / labels.sum(dim=1, keepdim=True).clamp(min=1)


@MODELS.register_module()
class IMPPretrain(TrunkModel):
    """IMP with its losses: ``contrast`` between all pairs of modalities, and ``class`` against embedded class names.

    A task names those that it has by the key ``losses`` of its loader; labelled data with prompts may have both. The
    published code has a linear layer over the classes of each data set where ``class`` has their embedded names.

    Args:
        trunk: Config of the trunk, an ``IMP``.
        tasks: Task of the train loop -> settings, see ``TaskSettings``. Where some tasks are named, all have to be.
        contrast_weight: Factor of the contrast.
        class_weight: Factor of the classification.
        pairs: See ``PairContrast``.
        use_labels: Whether samples of one target are positives of each other in the contrast.
        label_smoothing: Probability mass spread over all classes.
        **options: See ``TrunkModel``.
    """

    step_type = IMPStep
    trunk: IMP

    def __init__(
        self,
        trunk: dict,
        tasks: Mapping[str, Mapping] | None = None,
        contrast_weight: float = 1.0,
        class_weight: float = 1.0,
        pairs: Mapping[str, float] | None = None,
        use_labels: bool = False,
        label_smoothing: float = 0.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        losses = [
            dict(type='PairContrast', pairs=pairs, weight=contrast_weight),
            dict(type='ClassLoss', label_smoothing=label_smoothing, weight=class_weight),
        ]
        super().__init__(trunk=trunk, losses=losses, **options)
        self.use_labels = use_labels
        self.tasks = {name: make_settings(name, settings) for name, settings in (tasks or {}).items()}
        self._class_texts: dict[str | None, tuple[Tensor, Tensor]] = {}

    @classmethod
    def for_use(cls, config: dict) -> dict:
        """Leave the settings of tasks out, whose annotations are not where the model is used."""
        return {name: value for name, value in config.items() if name != 'tasks'}

    def settings_of(self, batch: VLBatch) -> TaskSettings:
        """Give the settings of the task of a batch; where others have some and it has none, it is refused."""
        if batch.task is None or not self.tasks:
            return TaskSettings()
        if batch.task not in self.tasks:
            raise OmniVLValueError(
                f'the task {batch.task!r} of train_dataloader has no settings in model.tasks, which has '
                f'{list(self.tasks)}: name it there, if only as dict()'
            )
        return self.tasks[batch.task]

    def class_texts(self, batch: VLBatch) -> tuple[Tensor, Tensor]:
        """Give the ids, int64 (C, L), and the mask, bool (C, L), of the class names of a task; tokenized once."""
        if batch.task not in self._class_texts:
            settings, tokenizer = self.settings_of(batch), self.trunk.tokenizer
            if not settings.class_names:
                raise OmniVLValueError(
                    f'the task {batch.task!r} has the loss class, and model.tasks no classes for it: set classes to '
                    'names, or to the annotations of its data set, or leave class out of its losses'
                )
            texts = [fill_prompt(settings.prompt, name) for name in settings.class_names]
            length = self.trunk.text_encoder.max_length
            self._class_texts[batch.task] = pad_text(
                [tokenizer.encode(text, length) for text in texts], tokenizer.pad_id
            )
        device = self.trunk.text_encoder.word.weight.device
        text_ids, text_mask = self._class_texts[batch.task]
        return text_ids.to(device), text_mask.to(device)

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute ``loss_contrast`` and ``loss_class``, those that the task has, and for the log the temperatures."""
        for temperature in self.trunk.temperatures.values():
            temperature.clamp()
        return self.task_loss(batch)

    def task_loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Do as ``loss`` and change nothing, so that several batches may be of one step."""
        if any(loss.name == 'class' for loss in self.losses_of(batch)):
            self._check_labels(batch)
        shown = {f'temperature_{name}': one().detach().clone() for name, one in self.trunk.temperatures.items()}
        return super().loss(batch) | shown

    def _check_labels(self, batch: VLBatch) -> None:
        classes = self.class_texts(batch)[0].shape[0]
        labels = batch.labels
        several = labels is not None and labels.ndim == 2
        if labels is None or (labels.shape[1] != classes if several else int(labels.max()) >= classes):
            got = 'samples without a label' if labels is None else f'the label {int(labels.max())}'
            got = f'{labels.shape[1]} classes' if several else got
            raise OmniVLValueError(
                f'the task {batch.task!r} classifies among {classes} names of model.tasks, and its batch has {got}: '
                'take LabelDatasets, and the names of their classes'
            )
