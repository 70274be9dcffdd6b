"""VATT's trunk (2104.11178): encoders with transformers of their own or one for all, and the bridge.

No loss, no task.
"""

from collections.abc import Collection, Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.evaluation.pair_retrieval import EmbedsPairs
from omnivl.models.interfaces import Contrasts, FitsPositions, TextTokenizer, offered_by
from omnivl.models.trunk import VisualTrunk
from omnivl.registry import MODELS, TOKENIZERS
from omnivl.structures import AUDIO, FRAMES, MODALITIES, VIDEO, TextFeatures, VisualFeatures, VLBatch

from .bridge import FACBridge
from .encoders import AudioFeatures
from .layers import Backbone

PARTS = ('visual_encoder', 'audio_encoder', 'text_encoder', 'bridge')


@MODELS.register_module()
class VATT(VisualTrunk):
    """VATT's parts. Videos and sounds meet in a fine space, videos and texts in a coarse one.

    Args:
        visual_encoder: Config of the video encoder, a ``VATTVideoEncoder``.
        audio_encoder: Config of the audio encoder, a ``VATTAudioEncoder``.
        text_encoder: Config of the text encoder, a ``VATTT5Encoder``, or a ``VATTTextEncoder`` which can share.
        tokenizer: Config of the text tokenizer; its file is read at first use only.
        bridge: Widths of the two spaces, see ``FACBridge``.
        shared: Whether all modalities go through the transformer of the visual encoder (modality-agnostic VATT); the
            others then need not say what theirs is.
        temperature: What similarities are divided by; it is not learned.
        parts: Which of ``PARTS`` to build; the others are not there, and what needs them is refused by name.
    """

    def __init__(
        self,
        visual_encoder: dict,
        audio_encoder: dict,
        text_encoder: dict,
        tokenizer: dict,
        bridge: dict | None = None,
        shared: bool = False,
        temperature: float = 0.07,
        parts: Collection[str] = PARTS,
    ) -> None:
        nn.Module.__init__(self)  # not every task has a visual encoder
        if unknown := sorted(set(parts) - set(PARTS)):
            raise OmniVLValueError(f'a VATT has no parts {unknown}; there are {PARTS}')
        if temperature <= 0:
            raise OmniVLValueError(f'temperature must be above 0, got {temperature} (set model.trunk.temperature)')
        self._tokenizer = TOKENIZERS.build(tokenizer)
        self.shared, self.temperature = shared, float(temperature)
        encoders = dict(visual_encoder=visual_encoder, audio_encoder=audio_encoder, text_encoder=text_encoder)
        backbone = share_backbone(encoders) if shared else None
        for name, config in encoders.items():
            if name in parts:
                setattr(self, name, MODELS.build(dict(config, backbone=backbone) if backbone else config))
        if 'bridge' in parts:
            widths = [encoder.width if (encoder := getattr(self, name, None)) else None for name in PARTS[1:3]]
            self.bridge = FACBridge(self.visual_encoder.width, *widths, **(bridge or {}))

    def encode(self, batch: VLBatch) -> VisualFeatures:
        """Encode what a batch shows, or its sounds where it shows nothing: tokens (B, S, D), vectors (B, D)."""
        if batch.modality == AUDIO.name:
            return VisualFeatures(*self.encode_audio(batch))
        return super().encode(batch)

    @property
    def lacks(self) -> dict[type, str]:
        """Interfaces that this trunk cannot serve, each with the reason."""
        needed = {Contrasts: ('visual_encoder', 'text_encoder', 'bridge')}
        needed |= {EmbedsPairs: ('visual_encoder', 'audio_encoder', 'bridge')}
        missing = {one: [name for name in names if name not in self.parts] for one, names in needed.items()}
        return {one: f'its trunk was built without {", ".join(names)}' for one, names in missing.items() if names}

    @property
    def tokenizer(self) -> TextTokenizer:
        """The text tokenizer; an ``OmniVLValueError`` if its vocabulary does not fit into the embeddings."""
        size = self.text_encoder.word.num_embeddings if 'text_encoder' in self.parts else self._tokenizer.vocab_size
        if self._tokenizer.vocab_size > size:
            raise OmniVLValueError(
                f'the tokenizer has {self._tokenizer.vocab_size} words, the model embeddings for {size}: set '
                'vocab_size of model.trunk.text_encoder, or another tokenizer'
            )
        return self._tokenizer

    def adapt_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Fit the positions of weights about to be loaded to this model's resolution, clip length and sound length."""
        for name in ('visual_encoder', 'audio_encoder'):
            if (fits := offered_by(self.parts.get(name), FitsPositions)) is not None:
                for prefix in (f'{name}.', f'trunk.{name}.'):
                    fits.fit_position_embeddings(state_dict, prefix)

    def encode_audio(self, batch: VLBatch) -> AudioFeatures:
        """Encode the sounds of a batch: tokens (B, 1 + S, D) and a vector each (B, D)."""
        if AUDIO.name not in batch.inputs:
            raise OmniVLValueError(
                "the batch has no sound: load it (LoadSoundtrack and PackSample(beside=['audio']) in the pipeline, or "
                'LoadAudio), or leave out what needs it (model.video_audio_weight=0)'
            )
        return self.audio_encoder(batch.inputs[AUDIO.name], batch.masks.get(AUDIO.name))

    def encode_text(self, text_ids: Tensor, text_mask: Tensor) -> TextFeatures:
        """Encode texts, int64 (B, L) with mask, bool (B, L): tokens (B, 1 + L, D) and a vector each (B, D)."""
        return self.text_encoder(text_ids, text_mask)

    def video_to_fine(self, pooled: Tensor) -> Tensor:
        """Map vectors of videos (B, D) into the space that they share with sound, float (B, E)."""
        return self.bridge.video_to_fine(pooled)

    def fine_to_coarse(self, fine: Tensor) -> Tensor:
        """Map what ``video_to_fine`` gives into the space that videos share with text, float (B, E')."""
        return self.bridge.fine_to_coarse(fine)

    def project_visual(self, pooled: Tensor, modality: str = VIDEO.name) -> Tensor:
        """Map vectors of videos, or of sounds, (B, D) to unit vectors of the space with text, float32 (B, E').

        No loss compares sounds with texts; they meet since what lies near a video in the fine space does so in the
        coarse one, as the paper has it.
        """
        if modality == AUDIO.name and 'audio_encoder' not in self.parts:
            raise OmniVLValueError('this VATT has no audio_encoder: it was trained without sound (video_audio_weight)')
        to_fine = self.bridge.audio_to_fine if modality == AUDIO.name else self.video_to_fine
        return F.normalize(self.fine_to_coarse(to_fine(pooled)).float(), dim=-1)

    def embed_text(self, text_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Map texts, int64 (B, L) with mask, to unit vectors of the space that they share with video, (B, E')."""
        return F.normalize(self.bridge.text_to_coarse(self.encode_text(text_ids, text_mask).pooled).float(), dim=-1)

    def embed_pair(self, batch: VLBatch, first: str, second: str) -> tuple[Tensor, Tensor]:
        """Map video and sound of a batch, in either order, to unit vectors of the space they share, float32 (B, E)."""
        if sorted((MODALITIES[first].kind, MODALITIES[second].kind)) != sorted((FRAMES, AUDIO.kind)):
            raise OmniVLValueError(f'a VATT embeds pairs of frames and sound, got {first!r} and {second!r}')
        found = {
            FRAMES: self.video_to_fine(super().encode(batch).pooled),
            AUDIO.kind: self.bridge.audio_to_fine(self.encode_audio(batch).pooled),
        }
        one, other = (F.normalize(found[MODALITIES[name].kind].float(), dim=-1) for name in (first, second))
        return one, other

    def temperature_value(self) -> float:
        """Return the temperature of the contrast."""
        return self.temperature


def share_backbone(encoders: Mapping[str, dict]) -> Backbone:
    """Build the transformer of the visual encoder for all, whose configs are given by their names."""
    shared = encoders['visual_encoder'].get('backbone', {})
    for name, config in encoders.items():
        if config.get('backbone', shared) != shared or config.get('projected') is None:
            raise OmniVLValueError(
                f'with shared=True {name} goes through the transformer of the visual encoder: it can have no other '
                'backbone and needs its projections (VATTAudioEncoder or VATTTextEncoder with projected=1024)'
            )
    return Backbone(**shared)
