"""CoCa's trunk (2205.01917): image encoder, poolers, and a decoder in two halves. No loss, no task."""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Contrasts, KeyValues, TextTokenizer, Writes, Writing
from omnivl.models.layers.temperature import Temperature
from omnivl.models.losses import TextPrediction
from omnivl.models.losses.language import IGNORED
from omnivl.models.omnivl import prompt_ids, reorder_cache
from omnivl.models.trunk import VisualTrunk
from omnivl.registry import MODELS, TOKENIZERS
from omnivl.structures import IMAGE, TextFeatures, VisualFeatures, VLBatch

PARTS = ('visual_encoder', 'pooler', 'text_encoder', 'text_decoder', 'visual_proj', 'text_proj', 'temperature')
# What each interface needs beside the visual encoder and the pooler.
NEEDED: dict[type, tuple[str, ...]] = {
    Contrasts: ('text_encoder', 'visual_proj', 'text_proj', 'temperature'),
    Writes: ('text_encoder', 'text_decoder'),
}
# What a trunk has for the contrast alone, or for captions alone, inside of parts that it has for both.
OF_ONE_LOSS = ('text_encoder.cls_token', 'text_encoder.norm.', 'pooler.contrastive.', 'pooler.generative.')
OWNERS = dict(text_proj='text_encoder', text_decoder='text_encoder', visual_proj='pooler')


@MODELS.register_module()
class CoCa(VisualTrunk):
    """CoCa's parts. A video goes through the image encoder and the poolers frame by frame.

    Args:
        visual_encoder: Config of the image encoder, an ``ImageEncoder``.
        pooler: Config of the poolers, see ``TaskPoolers``.
        text_encoder: Config of the unimodal half, a ``CausalTextEncoder``, by default with [CLS] appended.
        text_decoder: Config of the multimodal half, see ``MultimodalDecoder``.
        tokenizer: Config of the text tokenizer; its files are read at first use only.
        embed_dim: Width E of the space that visuals and texts share.
        temperature: Initial temperature of the contrast (0.07 in the paper).
        temperature_range: The temperature is clamped to it before every training step (CLIP's).
        parts: Which of ``PARTS`` to build; the others are not there, and what needs them is refused by name.
    """

    prompt = ''  # what texts begin with; a task may have one

    def __init__(
        self,
        visual_encoder: dict,
        pooler: dict,
        text_encoder: dict,
        text_decoder: dict,
        tokenizer: dict,
        embed_dim: int,
        temperature: float = 0.07,
        temperature_range: tuple[float, float] = (0.01, 1.0),
        parts: Collection[str] = PARTS,
    ) -> None:
        super().__init__(visual_encoder)
        if unknown := sorted(set(parts) - set(PARTS)):
            raise OmniVLValueError(f'a CoCa has no parts {unknown}; there are {PARTS}')
        if alone := sorted(part for part, owner in OWNERS.items() if part in parts and owner not in parts):
            raise OmniVLValueError(f'the parts {alone} need {sorted(OWNERS[part] for part in alone)} (model.parts)')
        self._tokenizer = TOKENIZERS.build(tokenizer)
        width = text_encoder['width']
        if 'pooler' in parts:
            uses = dict(generative='text_decoder' in parts, contrastive='visual_proj' in parts)
            made = dict(dict(type='TaskPoolers', width=width), **pooler)
            self.pooler = MODELS.build(dict(made, visual_width=self.visual_encoder.width, **uses))
        if 'text_encoder' in parts:
            vector = dict(pool='cls') if 'text_proj' in parts else {}
            unused = {} if 'text_proj' in parts else dict(pool=None)
            self.text_encoder = MODELS.build(dict(type='CausalTextEncoder') | vector | text_encoder | unused)
        if 'text_decoder' in parts:
            seen = dict(width=width, visual_width=self.pooler.width)
            self.text_decoder = MODELS.build(dict(type='MultimodalDecoder') | text_decoder | seen)
        if 'visual_proj' in parts:
            self.visual_proj = nn.Linear(self.pooler.width, embed_dim, bias=False)
            nn.init.normal_(self.visual_proj.weight, std=self.pooler.width**-0.5)
        if 'text_proj' in parts:
            self.text_proj = nn.Linear(width, embed_dim, bias=False)
            nn.init.normal_(self.text_proj.weight, std=width**-0.5)
        if 'temperature' in parts:
            self.temperature = Temperature(temperature, temperature_range)

    @property
    def lacks(self) -> dict[type, str]:
        """Interfaces that this trunk cannot serve, each with the reason."""
        missing = {one: sorted({'pooler', *needed} - set(self.parts)) for one, needed in NEEDED.items()}
        return {one: f'its trunk was built without {", ".join(names)}' for one, names in missing.items() if names}

    @property
    def tokenizer(self) -> TextTokenizer:
        """The text tokenizer; an ``OmniVLValueError`` if its vocabulary does not fit into the embeddings."""
        size = self.text_encoder.word.num_embeddings if 'text_encoder' in self.parts else self._tokenizer.vocab_size
        if self._tokenizer.vocab_size > size:
            raise OmniVLValueError(
                f'the tokenizer has {self._tokenizer.vocab_size} tokens, the model has embeddings for {size}: set '
                'vocab_size of text_encoder and text_decoder, or another tokenizer'
            )
        return self._tokenizer

    def adapt_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Fit weights about to be loaded: the resolution, and without what only a loss uses that is off here."""
        super().adapt_state_dict(state_dict)
        own = self.state_dict()
        for name in OF_ONE_LOSS:
            if any(key.startswith(name) for key in own):
                continue
            for key in [key for key in state_dict if key.startswith((name, f'trunk.{name}'))]:
                print_log(f'{key}: left out, as nothing here uses it', 'current')
                del state_dict[key]

    def encode(self, batch: VLBatch) -> VisualFeatures:
        """Encode the visuals of a batch.

        Args:
            batch: Images or videos.

        Returns:
            The tokens that the decoder looks at, of all frames, (B, T * n, D), and one vector each (B, D): the mean
            over frames, whose projection is the mean of the projected frames, since that is linear.
        """
        features = self.visual_encoder(batch.frames, batch.modality)
        if 'pooler' not in self.parts:
            return features
        time = batch.frames.shape[1]
        tokens, vectors = self.pooler(features.tokens.unflatten(1, (time, -1)).flatten(0, 1))
        return VisualFeatures(tokens.unflatten(0, (-1, time)).flatten(1, 2), vectors.unflatten(0, (-1, time)).mean(1))

    def project_visual(self, pooled: Tensor, modality: str = IMAGE.name) -> Tensor:
        """Map the vectors of visuals (B, D) to unit vectors of the shared space, float32 (B, E)."""
        return F.normalize(self.visual_proj(pooled).float(), dim=-1)

    def project_text(self, pooled: Tensor) -> Tensor:
        """Map the vectors of texts (B, D) to unit vectors of the shared space, float32 (B, E)."""
        return F.normalize(self.text_proj(pooled).float(), dim=-1)

    def encode_text(self, text_ids: Tensor, text_mask: Tensor) -> TextFeatures:
        """Encode int64 (B, L) with its mask, bool (B, L), to tokens (B, L, D) and the vector of [CLS] (B, D)."""
        return self.text_encoder(text_ids, text_mask)

    def embed_text(self, text_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Encode texts, int64 (B, L) with mask, to unit vectors of the shared space, float32 (B, E)."""
        return self.project_text(self.encode_text(text_ids, text_mask).pooled)

    def temperature_value(self) -> float:
        """Return the temperature of the contrast."""
        return self.temperature().item()

    def writing_key_values(self, visual_tokens: Tensor) -> KeyValues:
        """Make, once, what the decoder looks up in visual tokens (B, S, D): per layer, each (B, h, S, d)."""
        return self.text_decoder.project_visual(visual_tokens)

    def predict_text(
        self, tokens: Tensor, text_ids: Tensor, text_mask: Tensor, key_values: KeyValues
    ) -> TextPrediction:
        """Predict each text from its visual, all positions at once.

        Args:
            tokens: The texts as the unimodal half gives them, float (B, L, D).
            text_ids: int64 (B, L), [CLS] first and [SEP] last.
            text_mask: bool (B, L), True = real token.
            key_values: Of B visuals, from ``writing_key_values``.

        Returns:
            Predictions of L - 1 tokens, and these.
        """
        decoded, _ = self.text_decoder(tokens[:, :-1], key_values)
        targets = text_ids[:, 1:].masked_fill(~text_mask[:, 1:], IGNORED)
        return TextPrediction(decoded, targets, self.text_decoder.head)

    def read_on(
        self,
        token_ids: Tensor,
        key_values: KeyValues,
        cache: list | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        visual_index: Tensor | None = None,
    ) -> tuple[Tensor, list]:
        """Read tokens through both halves, with the work on all earlier ones cached.

        Args:
            token_ids: int64 (N, L), N = B * G, grouped by visual.
            key_values: From ``writing_key_values``.
            cache: What the last call returned, or None at the start.
            mask: See ``CausalTextEncoder.read``.
            positions: See ``CausalTextEncoder.read``.
            visual_index: The visual of each text, int64 (N,), where they are not grouped.

        Returns:
            What ``text_decoder.head`` takes, float (N, L, D), and the cache: that of the text layers, then that of the
            others.
        """
        depth = len(self.text_encoder.layers)
        text, multimodal = (cache[:depth], cache[depth:]) if cache else (None, None)
        tokens, read = self.text_encoder.read(token_ids, text, mask, positions)
        tokens, looked = self.text_decoder(tokens, key_values, visual_index, mask, multimodal)
        return tokens, read + looked

    def begin_writing(self, visual_tokens: Tensor, prompt: str | None = None) -> Writing:
        """Prepare to write about visual tokens (B, S, D), [CLS] and the tokens of the prompt first."""
        key_values = self.writing_key_values(visual_tokens)
        start = [self.tokenizer.cls_id, *prompt_ids(self.tokenizer, self.prompt if prompt is None else prompt)]

        def step(token_ids: Tensor, cache: list | None) -> tuple[Tensor, list]:
            tokens, cache = self.read_on(token_ids, key_values, cache)
            return self.text_decoder.head(tokens[:, -1]), cache

        starts = torch.tensor([start], device=visual_tokens.device).expand(visual_tokens.shape[0], -1)
        return Writing(step, reorder_cache, starts, self.tokenizer.sep_id, self.tokenizer.pad_id)
