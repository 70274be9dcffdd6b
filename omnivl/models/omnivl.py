"""The trunk: both encoders, both decoders, projections and heads. Every task is a small class on top of it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS, TOKENIZERS
from omnivl.structures import TextFeatures, VisualFeatures, VLBatch, VLDataSample

from .decoders import share_like_blip
from .decoders.generation import Cache
from .layers.attention import VisualKeyValues

SHARING = ('blip', 'none')
MATCHING_TOKENS = ('[ENC]', '[CLS]')
BARE_TOKENS = ('ENC', 'CLS')


@MODELS.register_module()
class OmniVL(BaseModel):
    """OmniVL's parts and what they do together; no loss.

    Args:
        visual_encoder: Config of the unified visual encoder.
        text_encoder: Config of the text encoder.
        alignment_decoder: Config of the alignment decoder.
        generation_decoder: Config of the generation decoder.
        tokenizer: Config of the text tokenizer; its file is read at first use only.
        embed_dim: Width E of the space that visuals and texts share (256 in BLIP; the paper gives none).
        share: How the three text models share weights: ``'blip'`` as in BLIP's code, or ``'none'``. The paper does
            not say; its total of 0.2 B parameters speaks for sharing.
        matching_token: What a text begins with in the alignment decoder: ``'[ENC]'`` as in BLIP, or ``'[CLS]'`` to get
            the numbers of Hugging Face's BLIP, which does not replace it. ``'ENC'`` and ``'CLS'`` do as well, since
            the shell's ``--cfg-options`` takes brackets for a list.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: See MMEngine's ``BaseModule``.
    """

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
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='VLDataPreprocessor')), init_cfg)
        self.matching_token = f'[{matching_token}]' if matching_token in BARE_TOKENS else matching_token
        if self.matching_token not in MATCHING_TOKENS:
            raise OmniVLValueError(
                f'matching_token must be one of {MATCHING_TOKENS}, got {matching_token!r} (in the shell without '
                'brackets: --cfg-options model.matching_token=CLS)'
            )
        if share not in SHARING:
            raise OmniVLValueError(f'share must be one of {SHARING}, got {share!r} (set model.share)')
        self.visual_encoder = MODELS.build(visual_encoder)
        self.text_encoder = MODELS.build(text_encoder)
        width, visual_width = self.text_encoder.width, self.visual_encoder.width
        self.alignment_decoder = MODELS.build(dict(alignment_decoder, visual_width=visual_width))
        self.generation_decoder = MODELS.build(dict(generation_decoder, visual_width=visual_width))
        self.share = share
        if share == 'blip':
            share_like_blip(self.text_encoder, self.alignment_decoder, self.generation_decoder)
        self.visual_proj = nn.Linear(visual_width, embed_dim)
        self.text_proj = nn.Linear(width, embed_dim)
        self.matching_head = nn.Linear(width, 2)
        self._tokenizer = TOKENIZERS.build(tokenizer)

    @property
    def tokenizer(self):
        """The text tokenizer; an ``OmniVLValueError`` if its vocabulary has not the size of the model's embeddings."""
        expected = self.text_encoder.embeddings.word.num_embeddings
        if self._tokenizer.vocab_size > expected:
            raise OmniVLValueError(
                f'the tokenizer has {self._tokenizer.vocab_size} word pieces ([DEC] and [ENC] included), the model '
                f'has embeddings for {expected}: set vocab_size of the text models or another vocab_file'
            )
        return self._tokenizer

    def adapt_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Fit the position embeddings of weights about to be loaded to this model's resolution and clip length."""
        if not hasattr(self.visual_encoder, 'fit_position_embeddings'):
            return
        for key in [key for key in state_dict if key.endswith('visual_encoder.pos_embed')]:
            self.visual_encoder.fit_position_embeddings(state_dict, key.removesuffix('pos_embed'))

    def encode_visual(self, frames: Tensor, modality: str) -> VisualFeatures:
        """Encode float (B, T, 3, H, W) to tokens (B, S, D) and the [CLS] vector (B, D)."""
        return self.visual_encoder(frames, modality)

    def encode_text(self, text_ids: Tensor, text_mask: Tensor) -> TextFeatures:
        """Encode int64 (B, L) with its mask, bool (B, L), to tokens (B, L, D) and the [CLS] vector (B, D)."""
        return self.text_encoder(text_ids, text_mask)

    def project_visual(self, pooled: Tensor) -> Tensor:
        """Map the [CLS] vector (B, D) of visuals to unit vectors of the shared space, float32 (B, E)."""
        return F.normalize(self.visual_proj(pooled).float(), dim=-1)

    def project_text(self, pooled: Tensor) -> Tensor:
        """Map the [CLS] vector (B, D) of texts to unit vectors of the shared space, float32 (B, E)."""
        return F.normalize(self.text_proj(pooled).float(), dim=-1)

    def visual_key_values(
        self, visual_tokens: Tensor, decoders: Sequence[str] = ('alignment', 'generation')
    ) -> VisualKeyValues:
        """Make, once, what the decoders look up in visual tokens (B, S, D).

        Args:
            visual_tokens: From ``encode_visual``.
            decoders: Which decoders will use it; with shared weights one set serves both.
        """
        alignment = self.alignment_decoder.project_visual(visual_tokens) if 'alignment' in decoders else []
        if self.share == 'blip' and alignment:
            return VisualKeyValues(alignment, alignment)
        generation = self.generation_decoder.project_visual(visual_tokens) if 'generation' in decoders else []
        return VisualKeyValues(alignment, generation)

    def replace_first(self, text_ids: Tensor, token_id: int) -> Tensor:
        """Put [ENC] or [DEC] in the place of [CLS]: int64 (B, L) -> a copy of it."""
        return torch.cat([torch.full_like(text_ids[:, :1], token_id), text_ids[:, 1:]], dim=1)

    def matching_ids(self, text_ids: Tensor) -> Tensor:
        """What the alignment decoder reads for a text, int64 (B, L) with [CLS] first: see ``matching_token``."""
        if self.matching_token == '[CLS]':
            return text_ids
        return self.replace_first(text_ids, self.tokenizer.encoder_id)

    def match_logits(
        self, text_ids: Tensor, text_mask: Tensor, key_values: VisualKeyValues, visual_index: Tensor | None = None
    ) -> Tensor:
        """Score N text-visual pairs with the alignment decoder.

        Args:
            text_ids: int64 (N, L), [CLS] first.
            text_mask: bool (N, L).
            key_values: Of B visuals, from ``visual_key_values``.
            visual_index: The visual of each text, int64 (N,); without it, N = B * G and texts are grouped by visual.

        Returns:
            float (N, 2); column 1 says match.
        """
        fused = self.alignment_decoder(self.matching_ids(text_ids), text_mask, key_values.alignment, visual_index)
        return self.matching_head(fused.pooled)

    def language_logits(
        self, text_ids: Tensor, text_mask: Tensor, key_values: VisualKeyValues, ignore_id: int = -100
    ) -> tuple[Tensor, Tensor]:
        """Predict each text from its visual, all positions at once.

        Args:
            text_ids: int64 (B, L), [CLS] first and [SEP], which stands for the paper's [EOS], last.
            text_mask: bool (B, L).
            key_values: Of B visuals, from ``visual_key_values``.
            ignore_id: Put where there is nothing to predict.

        Returns:
            Logits, float (B, L - 1, V), and the word pieces to predict, int64 (B, L - 1).
        """
        inputs = self.replace_first(text_ids, self.tokenizer.decoder_id)[:, :-1]
        targets = text_ids[:, 1:].masked_fill(~text_mask[:, 1:], ignore_id)
        return self.generation_decoder(inputs, key_values.generation), targets

    def decoder_step(self, token_ids: Tensor, cache: Cache | None, key_values: VisualKeyValues) -> tuple[Tensor, Cache]:
        """Predict the next word piece of N = B * G texts, grouped by visual; see ``GenerationDecoder.step``."""
        return self.generation_decoder.step(token_ids, cache, key_values.generation)

    @staticmethod
    def reorder_cache(cache: Cache, index: Tensor) -> Cache:
        """Select rows, int64 (N',), of the self-attention cache; keys and values of visuals stay where they are."""
        return [(key.index_select(0, index), value.index_select(0, index)) for key, value in cache]

    def forward(
        self, batch: VLBatch, data_samples: Sequence[VLDataSample] | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[VLDataSample]:
        """Route to ``loss`` or ``predict``, or return the features (MMEngine's three modes).

        Args:
            batch: From the data preprocessor.
            data_samples: The samples of the batch.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Raises:
            OmniVLValueError: ``mode`` is none of them.
        """
        if mode == 'loss':
            return self.loss(batch)
        if mode == 'predict':
            return self.predict(batch, data_samples)
        if mode == 'tensor':
            return self.features(batch)
        raise OmniVLValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def features(self, batch: VLBatch) -> dict[str, Tensor]:
        """Return ``visual`` and, where there is text, ``text``: unit vectors of the shared space, float (B, E)."""
        features = dict(visual=self.project_visual(self.encode_visual(batch.frames, batch.modality).pooled))
        if batch.text_ids is not None:
            features['text'] = self.project_text(self.encode_text(batch.text_ids, batch.text_mask).pooled)
        return features

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Losses of a training step; the trunk has none."""
        raise NotImplementedError(f'{type(self).__name__} cannot be trained: use a task model such as OmniVLPretrain')

    def predict(self, batch: VLBatch, data_samples: Sequence[VLDataSample]) -> list[VLDataSample]:
        """Put the unit vectors of visual and text into the samples as ``visual_feature`` and ``text_feature``."""
        for name, values in self.features(batch).items():
            for sample, value in zip(data_samples, values):
                sample.set_field(value.cpu(), f'{name}_feature')
        return list(data_samples)
