"""The ways of video, sound and words through transformers of their own, or one for all (2104.11178, section 3)."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.models.layers import FactorisedPositions, drop_tokens
from omnivl.models.tokenizers.image import check_divisible
from omnivl.registry import MODELS
from omnivl.structures import FRAMES, MODALITIES, TextFeatures, VisualFeatures, check_modality

from .layers import Backbone, SplinePositions, init_glorot, resize_table


class EncoderOptions(TypedDict, total=False):
    """Arguments of ``ModalityEncoder`` that all encoders hand on as they are."""

    backbone: dict | Backbone | None
    projected: int | None
    dropout: float
    drop_token: float
    drop_per_sample: bool
    eps: float


class AudioFeatures(NamedTuple):
    """Output of an audio encoder.

    Attributes:
        tokens: The aggregation token, then those of the sound; float (B, 1 + S, D).
        pooled: The aggregation token; float (B, D).
    """

    tokens: Tensor
    pooled: Tensor


class ModalityEncoder(nn.Module):
    """What all have in common: positions, DropToken, the aggregation token of the modality, the transformer.

    Args:
        grid: Number of positions of each axis.
        embed_width: Width of what the tokenizer gives; None = that of the transformer.
        backbone: Config of the transformer, see ``Backbone``, or that of another encoder, to share it.
        projected: Width of the result. None, as where each modality has its own transformer: what comes in and out is
            not projected. Where they share one, both ends have a linear layer with GELU for each modality (1024 in the
            published code).
        dropout: Rate of the tokens with their positions.
        drop_token: Share of the tokens that are dropped in training, 0 to below 1.
        drop_per_sample: Whether each sample has a draw of its own; the published code has one for the batch.
        eps: Of the layer norm of the positions.
    """

    positions_type: type[FactorisedPositions] = SplinePositions

    def __init__(
        self,
        grid: Sequence[int],
        embed_width: int | None = None,
        backbone: dict | Backbone | None = None,
        projected: int | None = None,
        dropout: float = 0.1,
        drop_token: float = 0.5,
        drop_per_sample: bool = False,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if backbone is None:
            raise OmniVLValueError(
                f'{name} has no transformer: give it a backbone, or set model.trunk.shared=True to have that of the '
                'visual encoder'
            )
        if not 0 <= drop_token < 1:
            raise OmniVLValueError(f'drop_token of {name} must be in [0, 1), got {drop_token}')
        self.backbone = backbone if isinstance(backbone, Backbone) else Backbone(**backbone)
        width = self.backbone.width
        self.width = width if projected is None else projected
        self.drop_token, self.drop_per_sample = drop_token, drop_per_sample
        # Named by what they do; the published code calls them pre- and post-transformer projections.
        self.before, self.after = nn.Identity(), nn.Identity()
        if projected is not None:
            self.before = nn.Sequential(nn.Linear(embed_width or width, width), nn.GELU())
            self.after = nn.Sequential(nn.Linear(width, projected), nn.GELU())
            init_glorot(self.before)
            init_glorot(self.after)
        if not grid or min(grid) < 1:
            raise OmniVLValueError(
                f'positions of {name} need 1 place or more on each axis, got a grid of {tuple(grid)}'
            )
        self.positions = self.positions_type(width, grid, dropout, eps=eps)
        self.agg_token = nn.Parameter(torch.empty(width))
        for learned in (*self.positions.pos_embed, self.agg_token):
            nn.init.trunc_normal_(learned, std=width**-0.5, a=-2 * width**-0.5, b=2 * width**-0.5)

    def fit_position_embeddings(self, state_dict: dict[str, Tensor], prefix: str = '') -> None:
        """Interpolate, in place and with a line in the log, positions of a checkpoint made for another grid.

        Args:
            state_dict: Weights about to be loaded.
            prefix: What the names of this encoder begin with there.
        """
        for axis, own in enumerate(self.positions.pos_embed):
            key = f'{prefix}positions.pos_embed.{axis}'
            stored = state_dict.get(key)
            if stored is not None and stored.shape != own.shape and stored.shape[-1] == own.shape[-1]:
                print_log(f'{key}: interpolated from {len(stored)} to {len(own)} positions', 'current')
                state_dict[key] = resize_table(stored, len(own))

    def run(self, tokens: Tensor, mask: Tensor | None = None, drop: bool = True) -> Tensor:
        """Lead tokens through all of it.

        Args:
            tokens: Of the tokenizer, float (B, *grid, embed_width).
            mask: What may be attended to, bool (B, S); None = everything.
            drop: Whether tokens may be dropped in training.

        Returns:
            The aggregation token first, float (B, 1 + S, D); with fewer S where tokens were dropped.
        """
        tokens = self.positions(self.before(tokens)).flatten(1, -2)
        if self.training and drop and self.drop_token:
            tokens, mask = drop_tokens(tokens, self.drop_token, mask, shared=not self.drop_per_sample)
        mask = None if mask is None else F.pad(mask, (1, 0), value=True)
        agg = self.agg_token.expand(tokens.shape[0], 1, -1)
        return self.after(self.backbone(torch.cat([agg, tokens], dim=1), mask))


@MODELS.register_module()
class VATTVideoEncoder(ModalityEncoder):
    """Video in patches of 4 frames and 16 x 16 pixels; an image is repeated to the length of a patch.

    Args:
        image_size: Side in pixels that the positions are made for.
        num_frames: Frames that they are made for.
        patch_size: Side of a patch in pixels.
        patch_frames: Number of its frames.
        **options: See ``ModalityEncoder``.
    """

    def __init__(
        self,
        image_size: int = 224,
        num_frames: int = 32,
        patch_size: int = 16,
        patch_frames: int = 4,
        **options: Unpack[EncoderOptions],
    ) -> None:
        side = image_size // patch_size
        super().__init__((num_frames // patch_frames, side, side), **options)
        self.num_frames, self.patch_size, self.patch_frames = num_frames, patch_size, patch_frames
        extent = (patch_frames, patch_size, patch_size)
        self.patches = nn.Conv3d(3, self.backbone.width, extent, extent)
        init_glorot(self.patches)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels that the positions are made for."""
        _, rows, columns = self.positions.lengths
        return rows * self.patch_size, columns * self.patch_size

    def forward(self, frames: Tensor, modality: str) -> VisualFeatures:
        """Encode images or clips.

        Args:
            frames: Normalised pixels, float (B, T, 3, H, W).
            modality: One without time, whose one frame is repeated as often as a patch has frames, or one with it.

        Returns:
            Tokens (B, 1 + S, D), of time, rows and columns, the last running fastest; and the aggregation token (B, D).

        Raises:
            OmniVLValueError: T, H or W is no multiple of the patch, or an image has several frames.
        """
        if not MODALITIES[check_modality(modality, type(self).__name__, FRAMES)].has_time:
            if frames.shape[1] != 1:
                raise OmniVLValueError(f'an image is a clip of one frame, got {frames.shape[1]} (is this a video?)')
            frames = frames.expand(-1, self.patch_frames, -1, -1, -1)
        check_divisible(frames.shape[-2], frames.shape[-1], self.patch_size)
        if frames.shape[1] % self.patch_frames:
            raise OmniVLValueError(
                f'clips must have a multiple of {self.patch_frames} frames, got {frames.shape[1]} (num_frames of '
                'LoadVideo, or patch_frames of model.trunk.visual_encoder)'
            )
        tokens = self.run(self.patches(frames.transpose(1, 2)).permute(0, 2, 3, 4, 1))
        return VisualFeatures(tokens, tokens[:, 0])


@MODELS.register_module()
class VATTAudioEncoder(ModalityEncoder):
    """Sound in patches of 128 samples of its waveform, or in patches of its spectrogram.

    Args:
        grid: Number of patches that the positions are made for: ``(1200,)`` of a waveform is 3.2 s at 48 kHz; of a
            spectrogram those in time and in frequency.
        tokenizer: Config of what cuts and projects the patches, by default the waveform's.
        **options: See ``ModalityEncoder``.
    """

    def __init__(
        self, grid: Sequence[int] = (1200,), tokenizer: dict | None = None, **options: Unpack[EncoderOptions]
    ) -> None:
        super().__init__(grid, **options)
        made = tokenizer or dict(type='WaveformTokenizer', patch_size=128)
        self.tokenizer = MODELS.build(dict(made, width=self.backbone.width))
        init_glorot(self.tokenizer)

    def forward(self, waveform: Tensor, mask: Tensor | None = None) -> AudioFeatures:
        """Encode sounds, float (B, N) in [-1, 1], with their mask, bool (B, N), True = real sample, or None = all.

        Nothing attends to patches without a real sample, so a silent clip is its aggregation token.
        """
        tokens, real = self.tokenizer(waveform, mask)
        tokens = self.run(tokens, None if mask is None else real.flatten(1))
        return AudioFeatures(tokens, tokens[:, 0])


@MODELS.register_module()
class VATTTextEncoder(ModalityEncoder):
    """Words through the shared transformer; their embeddings are looked up and projected.

    Args:
        vocab_size: Number of words V.
        max_length: Longest text in words.
        embed_width: Width of the embeddings.
        train_embeddings: Whether they are trained; in the published code they are word2vec's and stay as they are.
        **options: See ``ModalityEncoder``. Words are never dropped.
    """

    positions_type = FactorisedPositions  # a text of few words is no faster than others: it takes the first entries

    def __init__(
        self,
        vocab_size: int = 2**16,
        max_length: int = 16,
        embed_width: int = 300,
        train_embeddings: bool = False,
        **options: Unpack[EncoderOptions],
    ) -> None:
        if options.get('projected') is None:
            raise OmniVLValueError(
                'VATTTextEncoder needs its projections, as words are not as wide as the transformer: set projected '
                '(model.trunk.text_encoder), or take VATTT5Encoder'
            )
        super().__init__((max_length,), embed_width, **options)
        self.max_length = max_length
        self.word = nn.Embedding(vocab_size, embed_width).requires_grad_(train_embeddings)

    def forward(self, text_ids: Tensor, text_mask: Tensor) -> TextFeatures:
        """Encode texts, int64 (B, L) with their mask, bool (B, L): tokens (B, 1 + L, D), and the first of them."""
        check_length(text_ids, self.max_length)
        tokens = self.run(self.word(text_ids), text_mask, drop=False)
        return TextFeatures(tokens, tokens[:, 0])


def check_length(text_ids: Tensor, max_length: int) -> None:
    """Refuse texts, int64 (B, L), that are longer than the model was made for."""
    if text_ids.shape[1] > max_length:
        raise OmniVLValueError(
            f'a text of {text_ids.shape[1]} words is longer than the {max_length} of the model (shorten it by '
            'TokenizeText.max_length, or set max_length of model.trunk.text_encoder)'
        )
