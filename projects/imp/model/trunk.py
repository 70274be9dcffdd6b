"""IMP's trunk (2305.06324): one encoder, what each modality has of its own, and the spaces that two share."""

from collections.abc import Collection
from itertools import combinations

from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import TextTokenizer
from omnivl.models.layers.temperature import Temperature
from omnivl.models.trunk import VisualTrunk
from omnivl.registry import MODELS, TOKENIZERS
from omnivl.structures import AUDIO, TextFeatures, VisualFeatures, VLBatch

from .embeddings import CommonSpaceHead
from .encoder import mean_of_real

VISUAL, SOUND, TEXT = 'visual', AUDIO.name, 'text'  # what is encoded; images and videos are one
SPACES = ('disjoint', 'joint')


def pair_name(one: str, other: str) -> str:
    """Name a pair, whatever its order: ``'text_visual'``."""
    return '_'.join(sorted((one, other)))


@MODELS.register_module()
class IMP(VisualTrunk):
    """IMP's parts: all modalities go through one encoder, each alone.

    Args:
        encoder: Config of the encoder, see ``SharedEncoder``.
        visual_encoder: Config of what makes tokens of images and videos, see ``VisualEmbedding``.
        text_encoder: The same of texts, see ``TextEmbedding``.
        tokenizer: Config of the text tokenizer; its files are read at first use only.
        audio_encoder: The same of sound, see ``AudioEmbedding``; None = the model hears nothing.
        embed_dim: Width E of the spaces.
        common_space: ``'disjoint'``, as published: each pair of modalities has a space of its own, so a text has one
            vector for visuals and another for sounds; ``'joint'``: there is one for all.
        temperature: Initial temperature of each pair (published: 0.2, and 1.0 with experts).
        temperature_range: The temperatures are clamped to it before every training step.
        shown: What evaluations and inference compare texts with: ``'visual'``, or ``'audio'`` for a test of sounds.
        parts: What a task asks for; all is there.
    """

    prompt = ''

    def __init__(
        self,
        encoder: dict,
        visual_encoder: dict,
        text_encoder: dict,
        tokenizer: dict,
        audio_encoder: dict | None = None,
        embed_dim: int = 1024,
        common_space: str = 'disjoint',
        temperature: float = 0.2,
        temperature_range: tuple[float, float] = (0.005, 2.0),
        shown: str = VISUAL,
        parts: Collection[str] = (),
    ) -> None:
        width = encoder['width']
        super().__init__(dict(type='VisualEmbedding') | dict(visual_encoder, width=width))
        if common_space not in SPACES:
            raise OmniVLValueError(
                f'common_space must be one of {SPACES}, got {common_space!r} (set model.trunk.common_space)'
            )
        self._tokenizer = TOKENIZERS.build(tokenizer)
        self.encoder = MODELS.build(dict(type='SharedEncoder') | encoder)
        self.text_encoder = MODELS.build(dict(type='TextEmbedding') | dict(text_encoder, width=width))
        sources = [VISUAL, TEXT]
        if audio_encoder is not None:
            self.audio_encoder = MODELS.build(dict(type='AudioEmbedding') | dict(audio_encoder, width=width))
            sources.append(SOUND)
        if shown not in sources or shown == TEXT:
            raise OmniVLValueError(
                f'shown must be {VISUAL!r}, or {SOUND!r} of a model with an audio_encoder, got {shown!r} (set '
                'model.trunk.shown)'
            )
        self.shown = shown
        self.common_space = common_space
        pairs = list(combinations(sources, 2))
        ways = [way for pair in pairs for way in (pair, pair[::-1])]
        names = dict.fromkeys(self._head_name(*way) for way in ways)
        self.heads = nn.ModuleDict({name: CommonSpaceHead(width, embed_dim) for name in names})
        self.temperatures = nn.ModuleDict(
            {pair_name(*pair): Temperature(temperature, temperature_range) for pair in pairs}
        )

    def _head_name(self, source: str, target: str) -> str:
        return f'{source}_to_{target}' if self.common_space == 'disjoint' else source

    @property
    def tokenizer(self) -> TextTokenizer:
        """The text tokenizer; an ``OmniVLValueError`` if its vocabulary does not fit into the embeddings."""
        size = self.text_encoder.word.num_embeddings
        if self._tokenizer.vocab_size > size:
            raise OmniVLValueError(
                f'the tokenizer has {self._tokenizer.vocab_size} tokens, the model has embeddings for {size}: set '
                'vocab_size of model.trunk.text_encoder, or another tokenizer'
            )
        return self._tokenizer

    def encode(self, batch: VLBatch) -> VisualFeatures:
        """Encode what is ``shown`` of a batch to tokens (B, S, D) and one vector each (B, D), their mean.

        Of a batch of sounds alone it is these.
        """
        return VisualFeatures(*self.encode_source(batch, self._source(batch.modality)))

    def encode_source(self, batch: VLBatch, source: str, drop: float = 0.0) -> TextFeatures | VisualFeatures:
        """Encode a modality of a batch, ``'visual'``, ``'audio'`` or ``'text'``, with a share ``drop`` left out."""
        if source == VISUAL:
            return self.encode_frames(batch.frames, drop)
        if source == TEXT:
            return self.encode_text(*batch.texts)
        return self.encode_audio(batch.inputs[SOUND], batch.masks.get(SOUND), drop)

    def encode_frames(self, frames: Tensor, drop: float = 0.0) -> VisualFeatures:
        """Encode normalised pixels, float (B, T, 3, H, W), as ``encode`` does visuals."""
        return VisualFeatures(*self._through(self.visual_encoder, *self.visual_encoder(frames, drop)))

    def encode_text(self, text_ids: Tensor, text_mask: Tensor) -> TextFeatures:
        """Encode int64 (B, L) with its mask, bool (B, L), to tokens (B, L, D) and one vector each (B, D)."""
        return TextFeatures(*self._through(self.text_encoder, *self.text_encoder(text_ids, text_mask)))

    def encode_audio(self, waveform: Tensor, mask: Tensor | None = None, drop: float = 0.0) -> TextFeatures:
        """Encode samples, float (B, N) with their mask, bool (B, N), to tokens (B, S, D) and one vector each (B, D)."""
        if 'audio_encoder' not in self.parts:
            raise OmniVLValueError(
                f'the batch has {AUDIO.plural} and the model no part for them: set model.trunk.audio_encoder, or leave '
                f'{AUDIO.loader} out of the pipeline'
            )
        return TextFeatures(*self._through(self.audio_encoder, *self.audio_encoder(waveform, mask, drop)))

    def _through(self, embedding: nn.Module, tokens: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
        """Send tokens, float (B, S, D), through the encoder and out of it; returns them and their mean (B, D)."""
        tokens = embedding.proj_out(self.encoder(tokens, real))
        return tokens, mean_of_real(tokens, real)

    def project(self, pooled: Tensor, source: str, target: str) -> Tensor:
        """Map vectors (B, D) of ``source`` into its space with ``target``: unit vectors, float32 (B, E)."""
        return self.heads[self._head_name(source, target)](pooled)

    def _source(self, modality: str) -> str:
        return SOUND if modality == SOUND else self.shown

    def project_visual(self, pooled: Tensor, modality: str = VISUAL) -> Tensor:
        """Map the vectors of ``encode`` (B, D) to unit vectors of their space with texts, float32 (B, E)."""
        source = self._source(modality)
        if source != self.shown and self.common_space == 'disjoint':
            raise OmniVLValueError(
                f'texts have another vector for {source} than for {self.shown}: set model.trunk.shown={source!r}, and '
                f'use the model for {AUDIO.plural} alone'
            )
        return self.project(pooled, source, TEXT)

    def embed_text(self, text_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Encode texts, int64 (B, L) with mask, to unit vectors of the space with what is ``shown``, float32 (B, E)."""
        return self.project(self.encode_text(text_ids, text_mask).pooled, TEXT, self.shown)

    def embed_pair(self, batch: VLBatch, first: str, second: str) -> tuple[Tensor, Tensor]:
        """Map two modalities of a batch, by their names, to unit vectors of their space, float32 (B, E) each."""
        one, other = (SOUND if name == SOUND else VISUAL for name in (first, second))
        return (
            self.project(self.encode_source(batch, one).pooled, one, other),
            self.project(self.encode_source(batch, other).pooled, other, one),
        )

    def temperature_value(self) -> float:
        """Return the temperature between texts and what is ``shown``."""
        return self.temperatures[pair_name(self.shown, TEXT)]().item()
