"""What a VATT is trained for: video with its sound, and video with the texts said around it."""

from functools import cached_property

import torch
from torch import Tensor
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.models import TrunkModel
from omnivl.models.tasks import TrainingStep
from omnivl.models.tasks.base import ModelOptions
from omnivl.registry import MODELS
from omnivl.structures import AUDIO, VLBatch

from .trunk import VATT


class VATTStep(TrainingStep):
    """A step with the vectors of all three modalities in the two spaces of the bridge."""

    model: 'VATTPretrain'
    made_with = {
        'video_for_audio': ('bridge',),
        'video_for_text': ('bridge',),
        'audio': ('audio_encoder', 'bridge'),
        'texts': ('text_encoder', 'bridge'),
    }

    @cached_property
    def video_for_audio(self) -> Tensor:
        """Vectors of the videos in the fine space, float (B, E)."""
        return self.model.trunk.video_to_fine(self.visual.pooled)

    @cached_property
    def video_for_text(self) -> Tensor:
        """Vectors of the videos in the coarse space, float (B, E')."""
        return self.model.trunk.fine_to_coarse(self.video_for_audio)

    @cached_property
    def audio(self) -> Tensor:
        """Vectors of the sounds in the fine space, float (B, E)."""
        return self.model.trunk.bridge.audio_to_fine(self.model.trunk.encode_audio(self.batch).pooled)

    @property
    def real_audio(self) -> Tensor:
        """Which samples have sound, bool (B,)."""
        mask = self.batch.masks.get(AUDIO.name)
        waveform = self.batch.inputs[AUDIO.name]
        return torch.ones(len(waveform), dtype=torch.bool, device=waveform.device) if mask is None else mask.any(dim=1)

    @cached_property
    def texts(self) -> Tensor:
        """Vectors of the C candidate texts of each video in the coarse space, float (B, C, E')."""
        vectors = self.model.trunk.encode_text(*self.batch.texts).pooled
        return self.model.trunk.bridge.text_to_coarse(vectors).unflatten(0, (len(self.batch), -1))

    @property
    def real_texts(self) -> Tensor:
        """Which of these there are, bool (B, C): those with a word."""
        return self.batch.texts[1].any(dim=1).unflatten(0, (len(self.batch), -1))


@MODELS.register_module()
class VATTPretrain(TrunkModel):
    """A VATT trained by NCE of video and sound and by MIL-NCE of video and texts (2104.11178, section 3.3).

    Both are divided by the sum of their weights, as in the published code. Several candidate texts of a video lie one
    after the other in the texts of the batch, see ``CandidatePreprocessor``.

    Args:
        trunk: Config of the trunk, a ``VATT``.
        video_audio_weight: Weight of the first; 0 leaves it out, and builds no audio encoder.
        video_text_weight: Weight of the second; 0 leaves it out, and builds no text encoder.
        **options: See ``TrunkModel``.
    """

    step_type = VATTStep
    trunk: VATT  # type: ignore[assignment]

    def __init__(
        self,
        trunk: dict,
        video_audio_weight: float = 1.0,
        video_text_weight: float = 1.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        total = video_audio_weight + video_text_weight
        if min(video_audio_weight, video_text_weight) < 0 or total == 0:
            raise OmniVLValueError(
                f'video_audio_weight={video_audio_weight} and video_text_weight={video_text_weight}: neither may be '
                'negative and one must be above 0 (model.video_audio_weight, model.video_text_weight)'
            )
        weights = dict(VideoAudioNCE=video_audio_weight, VideoTextNCE=video_text_weight)
        shared = dict(temperature=trunk.get('temperature', 0.07))
        losses = [dict(shared, type=name, weight=weight / total) for name, weight in weights.items() if weight]
        super().__init__(trunk=trunk, losses=losses, parts=('visual_encoder',), **options)

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute ``loss_video_audio`` and ``loss_video_text``, each with its weight."""
        if 'video_text' in self.losses and batch.text_ids is not None and len(batch.text_ids) % len(batch):
            raise OmniVLValueError(
                f'{len(batch.text_ids)} texts cannot be dealt out evenly to {len(batch)} videos: each needs as many '
                'candidates (CandidatePreprocessor makes them)'
            )
        return super().loss(batch)
