"""The trunk: both encoders, both decoders, projections and heads, and what they do together. No loss, no task."""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS, TOKENIZERS
from omnivl.structures import IMAGE

from .decoders import share_like_blip
from .decoders.base import GroundedDecoder
from .decoders.generation import Cache
from .encoders import TextEncoder
from .interfaces import Contrasts, KeyValues, Matches, TextTokenizer, Writes, Writing
from .layers.attention import KeyValue
from .layers.temperature import Temperature
from .losses.language import IGNORED, TextPrediction
from .trunk import VisualTrunk

SHARING = ('blip', 'none')
MATCHING_TOKENS = ('[ENC]', '[CLS]')
BARE_TOKENS = ('ENC', 'CLS')
PARTS = (
    'visual_encoder',
    'text_encoder',
    'alignment_decoder',
    'generation_decoder',
    'visual_proj',
    'text_proj',
    'matching_head',
    'temperature',
)
HEAD_OF = dict(text_proj='text_encoder', matching_head='alignment_decoder')
# What each interface needs beside the visual encoder.
NEEDED: dict[type, tuple[str, ...]] = {
    Contrasts: ('text_encoder', 'visual_proj', 'text_proj', 'temperature'),
    Matches: ('alignment_decoder', 'matching_head'),
    Writes: ('generation_decoder',),
}


@MODELS.register_module()
class OmniVL(VisualTrunk):
    """OmniVL's parts (2209.07526, section 3.1). A task takes a trunk and holds of it what it uses.

    Args:
        visual_encoder: Config of the unified visual encoder.
        text_encoder: Config of the text encoder.
        alignment_decoder: Config of the alignment decoder.
        generation_decoder: Config of the generation decoder.
        tokenizer: Config of the text tokenizer; its file is read at first use only.
        embed_dim: Width E of the space that visuals and texts share (256 in BLIP; the paper gives none).
        share: How the text models share weights: ``'blip'`` as in BLIP's code, or ``'none'``. The paper does not say;
            its total of 0.2 B parameters speaks for sharing.
        matching_token: What a text begins with in the alignment decoder: ``'[ENC]'`` as in BLIP, or ``'[CLS]'`` to get
            the numbers of Hugging Face's BLIP, which does not replace it. ``'ENC'`` and ``'CLS'`` do as well, since
            the shell's ``--cfg-options`` takes brackets for a list.
        temperature: Initial temperature of the contrastive loss (BLIP's).
        temperature_range: The temperature is clamped to it before every training step (BLIP's).
        parts: Which of ``PARTS`` to build; the others are not there, and what needs them is refused by name.
    """

    prompt = ''  # what texts begin with; a task may have one

    def __init__(
        self,
        visual_encoder: dict,
        text_encoder: dict,
        alignment_decoder: dict,
        generation_decoder: dict,
        tokenizer: dict,
        embed_dim: int = 256,
        share: str = 'blip',
        matching_token: str = '[ENC]',
        temperature: float = 0.07,
        temperature_range: tuple[float, float] = (0.001, 0.5),
        parts: Collection[str] = PARTS,
    ) -> None:
        super().__init__(visual_encoder)
        self.matching_token = f'[{matching_token}]' if matching_token in BARE_TOKENS else matching_token
        if self.matching_token not in MATCHING_TOKENS:
            raise OmniVLValueError(
                f'matching_token must be one of {MATCHING_TOKENS}, got {matching_token!r} (in the shell without '
                'brackets: --cfg-options model.trunk.matching_token=CLS)'
            )
        if share not in SHARING:
            raise OmniVLValueError(f'share must be one of {SHARING}, got {share!r} (set model.trunk.share)')
        if unknown := sorted(set(parts) - set(PARTS)):
            raise OmniVLValueError(f'a trunk has no parts {unknown}; there are {PARTS}')
        if alone := sorted(head for head, owner in HEAD_OF.items() if head in parts and owner not in parts):
            owners = [HEAD_OF[head] for head in alone]
            raise OmniVLValueError(f'the parts {alone} need {owners}; name both or neither (model.parts)')
        self.share = share
        self._tokenizer = TOKENIZERS.build(tokenizer)
        visual_width = self.visual_encoder.width
        if 'text_encoder' in parts:
            self.text_encoder = MODELS.build(text_encoder)
        if 'alignment_decoder' in parts:
            self.alignment_decoder = MODELS.build(dict(alignment_decoder, visual_width=visual_width))
        if 'generation_decoder' in parts:
            self.generation_decoder = MODELS.build(dict(generation_decoder, visual_width=visual_width))
        if share == 'blip':
            share_like_blip(self.parts)
        if 'visual_proj' in parts:
            self.visual_proj = nn.Linear(visual_width, embed_dim)
        if 'text_proj' in parts:
            self.text_proj = nn.Linear(self.text_encoder.width, embed_dim)
        if 'matching_head' in parts:
            self.matching_head = nn.Linear(self.alignment_decoder.width, 2)
        if 'temperature' in parts:
            self.temperature = Temperature(temperature, temperature_range)

    @property
    def _text_models(self) -> list[TextEncoder | GroundedDecoder]:
        return [part for part in self.children() if isinstance(part, TextEncoder | GroundedDecoder)]

    @property
    def lacks(self) -> dict[type, str]:
        """Interfaces that this trunk cannot serve, each with the reason."""
        missing = {interface: sorted(set(needed) - set(self.parts)) for interface, needed in NEEDED.items()}
        return {
            interface: f'its trunk was built without {", ".join(names)}'
            for interface, names in missing.items()
            if names
        }

    @property
    def tokenizer(self) -> TextTokenizer:
        """The text tokenizer; an ``OmniVLValueError`` if its vocabulary does not fit into the embeddings."""
        sizes = [part.embeddings.word.num_embeddings for part in self._text_models]
        expected = sizes[0] if sizes else self._tokenizer.vocab_size
        if self._tokenizer.vocab_size > expected:
            raise OmniVLValueError(
                f'the tokenizer has {self._tokenizer.vocab_size} tokens ([DEC] and [ENC] included), the model '
                f'has embeddings for {expected}: set vocab_size of the text models or another vocab_file'
            )
        return self._tokenizer

    def project_visual(self, pooled: Tensor, modality: str = IMAGE.name) -> Tensor:
        """Map the [CLS] vector (B, D) of visuals to unit vectors of the shared space, float32 (B, E)."""
        return F.normalize(self.visual_proj(pooled).float(), dim=-1)

    def embed_text(self, text_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Encode texts, int64 (B, L) with mask, to unit vectors of the shared space, float32 (B, E)."""
        pooled = self.text_encoder(text_ids, text_mask, first_only=True).pooled
        return F.normalize(self.text_proj(pooled).float(), dim=-1)

    def temperature_value(self) -> float:
        """Return the temperature of the contrastive loss."""
        return self.temperature().item()

    @property
    def shares_key_values(self) -> bool:
        """Whether both decoders look up the very same keys and values in a visual."""
        return self.share == 'blip' and {'alignment_decoder', 'generation_decoder'} <= set(self.parts)

    def matching_key_values(self, visual_tokens: Tensor) -> list[KeyValue]:
        """Make, once, what the alignment decoder looks up in visual tokens (B, S, D): per layer, each (B, h, S, d)."""
        return self.alignment_decoder.project_visual(visual_tokens)

    def writing_key_values(self, visual_tokens: Tensor) -> list[KeyValue]:
        """Make, once, what the generation decoder looks up in visual tokens (B, S, D): per layer, each (B, h, S, d)."""
        return self.generation_decoder.project_visual(visual_tokens)

    def matching_ids(self, text_ids: Tensor) -> Tensor:
        """Make what the alignment decoder reads of a text, int64 (B, L) with [CLS] first: see ``matching_token``."""
        if self.matching_token == '[CLS]':
            return text_ids
        return replace_first(text_ids, self.tokenizer.encoder_id)

    def match_logits(
        self, text_ids: Tensor, text_mask: Tensor, key_values: KeyValues, visual_index: Tensor | None = None
    ) -> Tensor:
        """Score N text-visual pairs with the alignment decoder.

        Args:
            text_ids: int64 (N, L), [CLS] first.
            text_mask: bool (N, L), True = real token.
            key_values: Of B visuals, from ``matching_key_values``.
            visual_index: The visual of each text, int64 (N,); without it, N = B * G and texts are grouped by visual.

        Returns:
            float (N, 2); column 1 says match.
        """
        ids = self.matching_ids(text_ids)
        fused = self.alignment_decoder(ids, text_mask, key_values, visual_index, first_only=True)
        return self.matching_head(fused.pooled)

    def predict_text(self, text_ids: Tensor, text_mask: Tensor, key_values: KeyValues) -> TextPrediction:
        """Predict each text from its visual, all positions at once.

        Args:
            text_ids: int64 (B, L), [CLS] first and [SEP], which stands for the paper's [EOS], last.
            text_mask: bool (B, L), True = real token.
            key_values: Of B visuals, from ``writing_key_values``.

        Returns:
            Predictions of L - 1 tokens, and these.
        """
        inputs, targets = shift_for_writing(text_ids, text_mask, self.tokenizer.decoder_id)
        decoder = self.generation_decoder
        return TextPrediction(decoder(inputs, key_values, to_vocabulary=False), targets, decoder.to_logits)

    def begin_writing(self, visual_tokens: Tensor, prompt: str | None = None) -> Writing:
        """Prepare to write about visual tokens (B, S, D), [DEC] and the tokens of the prompt first."""
        key_values = self.writing_key_values(visual_tokens)
        start = [self.tokenizer.decoder_id, *prompt_ids(self.tokenizer, self.prompt if prompt is None else prompt)]

        def step(token_ids: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
            return self.generation_decoder.step(token_ids, cache, key_values)

        starts = torch.tensor([start], device=visual_tokens.device).expand(visual_tokens.shape[0], -1)
        return Writing(step, reorder_cache, starts, self.tokenizer.sep_id, self.tokenizer.pad_id)


def replace_first(text_ids: Tensor, token_id: int) -> Tensor:
    """Put [ENC] or [DEC] in the place of [CLS]: int64 (B, L) -> a copy of it."""
    replaced = text_ids.clone()
    replaced[:, 0] = token_id
    return replaced


def shift_for_writing(text_ids: Tensor, text_mask: Tensor, decoder_id: int) -> tuple[Tensor, Tensor]:
    """Split texts into what a decoder reads and what it has to predict there.

    Args:
        text_ids: int64 (N, L), [CLS] first and [SEP] last.
        text_mask: bool (N, L), True = real token.
        decoder_id: Id of [DEC], which takes the place of [CLS].

    Returns:
        Inputs and targets, both int64 (N, L - 1); -100 where there is nothing to predict.
    """
    inputs = replace_first(text_ids, decoder_id)[:, :-1]
    return inputs, text_ids[:, 1:].masked_fill(~text_mask[:, 1:], IGNORED)


def prompt_ids(tokenizer: TextTokenizer, prompt: str) -> list[int]:
    """Return the token ids of a prompt, without [CLS] and [SEP]."""
    return [int(token) for token in tokenizer.encode(prompt, len(prompt) + 2)[1:-1]] if prompt else []


def reorder_cache(cache: Cache, index: Tensor) -> Cache:
    """Select rows, int64 (N',), of the self-attention cache; keys and values of visuals stay where they are."""
    return [(key.index_select(0, index), value.index_select(0, index)) for key, value in cache]
