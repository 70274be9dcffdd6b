"""VATT's trunk (2104.11178): encoders with transformers of their own or one for all, and the bridge.

No loss, no task.
"""

from collections.abc import Collection

import torch.nn.functional as F
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Contrasts, FitsPositions, TextTokenizer, offered_by
from omnivl.models.trunk import VisualTrunk
from omnivl.registry import MODELS, TOKENIZERS
from omnivl.structures import TextFeatures

from .bridge import FACBridge
from .encoders import AudioFeatures, ModalityEncoder

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
            others then have no ``backbone`` of their own.
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
        super().__init__(visual_encoder)
        if unknown := sorted(set(parts) - set(PARTS)):
            raise OmniVLValueError(f'a VATT has no parts {unknown}; there are {PARTS}')
        if temperature <= 0:
            raise OmniVLValueError(f'temperature must be above 0, got {temperature} (set model.trunk.temperature)')
        self._tokenizer = TOKENIZERS.build(tokenizer)
        self.shared, self.temperature = shared, float(temperature)
        for name, config in dict(audio_encoder=audio_encoder, text_encoder=text_encoder).items():
            if name in parts:
                setattr(self, name, MODELS.build(self._with_backbone(name, config)))
        if 'bridge' in parts:
            widths = [encoder.width if (encoder := getattr(self, name, None)) else None for name in PARTS[1:3]]
            self.bridge = FACBridge(self.visual_encoder.width, *widths, **(bridge or {}))

    def _with_backbone(self, name: str, config: dict) -> dict:
        """Hand the transformer of the visual encoder over, where all share it."""
        if not self.shared:
            return config
        if 'backbone' in config or not isinstance(self.visual_encoder, ModalityEncoder) or 'projected' not in config:
            raise OmniVLValueError(
                f'with shared=True {name} goes through the transformer of the visual encoder: it takes no backbone of '
                'its own and needs its projections (VATTAudioEncoder or VATTTextEncoder with projected=1024)'
            )
        return dict(config, backbone=self.visual_encoder.backbone)

    @property
    def lacks(self) -> dict[type, str]:
        """Interfaces that this trunk cannot serve, each with the reason."""
        missing = [name for name in ('text_encoder', 'bridge') if name not in self.parts]
        return {Contrasts: f'its trunk was built without {", ".join(missing)}'} if missing else {}

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
        super().adapt_state_dict(state_dict)
        audio = self.parts.get('audio_encoder')
        if (fits := offered_by(audio, FitsPositions)) is not None:
            for prefix in ('audio_encoder.', 'trunk.audio_encoder.'):
                fits.fit_position_embeddings(state_dict, prefix)

    def encode_audio(self, waveform: Tensor, mask: Tensor | None = None) -> AudioFeatures:
        """Encode sounds, float (B, N) with mask, bool (B, N): tokens (B, 1 + S, D) and a vector each (B, D)."""
        return self.audio_encoder(waveform, mask)

    def encode_text(self, text_ids: Tensor, text_mask: Tensor) -> TextFeatures:
        """Encode texts, int64 (B, L) with mask, bool (B, L): tokens (B, 1 + L, D) and a vector each (B, D)."""
        return self.text_encoder(text_ids, text_mask)

    def video_to_fine(self, pooled: Tensor) -> Tensor:
        """Map vectors of videos (B, D) into the space that they share with sound, float (B, E)."""
        return self.bridge.video_to_fine(pooled)

    def fine_to_coarse(self, fine: Tensor) -> Tensor:
        """Map what ``video_to_fine`` gives into the space that videos share with text, float (B, E')."""
        return self.bridge.fine_to_coarse(fine)

    def project_visual(self, pooled: Tensor) -> Tensor:
        """Map vectors of videos (B, D) to unit vectors of the space that they share with text, float32 (B, E')."""
        return F.normalize(self.fine_to_coarse(self.video_to_fine(pooled)).float(), dim=-1)

    def embed_text(self, text_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Map texts, int64 (B, L) with mask, to unit vectors of the space that they share with video, (B, E')."""
        return F.normalize(self.bridge.text_to_coarse(self.encode_text(text_ids, text_mask).pooled).float(), dim=-1)

    def temperature_value(self) -> float:
        """Return the temperature of the contrast."""
        return self.temperature
