"""From pixels, sound and words to the tokens of the shared encoder, and back out of it (IMP, 2305.06324, section 3).

All that a modality has of its own: patches or words, positions, and a linear layer before and behind the encoder.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.layers import FactorisedPositions, drop_tokens
from omnivl.models.tokenizers.image import check_divisible
from omnivl.registry import MODELS

from .encoder import EPS, init_fan_in


class ModalityEmbedding(nn.Module):
    """What all modalities have: positions, tokens that are left out, a linear layer at both ends of the encoder.

    Args:
        width: Width D of the tokens.
        grid: Entries in the tables of positions, one table for each axis.
        spread: See ``FactorisedPositions``.
    """

    def __init__(self, width: int, grid: Sequence[int], spread: bool) -> None:
        super().__init__()
        self.positions = FactorisedPositions(width, grid, spread=spread, eps=EPS)
        self.proj_in = nn.Linear(width, width)
        self.proj_out = nn.Linear(width, width)
        init_fan_in(self)

    def enter(self, tokens: Tensor, real: Tensor | None, drop: float) -> tuple[Tensor, Tensor | None]:
        """Make what the encoder reads.

        Args:
            tokens: On their grid, float (B, n_1, ..., n_k, D).
            real: bool (B, n_1, ..., n_k), True = real token; None = all are.
            drop: Share of the tokens that is left out.

        Returns:
            float (B, S, D), and bool (B, S) or None.
        """
        tokens = self.positions(tokens).flatten(1, -2)
        tokens, real = drop_tokens(tokens, drop, None if real is None else real.flatten(1))
        return self.proj_in(tokens), real


@MODELS.register_module()
class VisualEmbedding(ModalityEmbedding):
    """Space-time patches that do not overlap; an image is a clip of as many equal frames as a patch has.

    Args:
        width: Width D of the tokens.
        patch_size: Frames, rows and columns of a patch.
        grid: Entries in the tables of times, rows and columns. Inputs of any smaller size are spread over them.
        image_size: Side in pixels that the model is made for, or several, of which the first is that of inference.
    """

    def __init__(
        self,
        width: int,
        patch_size: tuple[int, int, int] = (4, 16, 16),
        grid: tuple[int, int, int] = (16, 32, 32),
        image_size: int | Sequence[int] = 256,
    ) -> None:
        super().__init__(width, grid, spread=True)
        if patch_size[1] != patch_size[2]:
            raise OmniVLValueError(f'patches must have as many rows as columns, got patch_size={tuple(patch_size)}')
        self.patch_size = tuple(patch_size)
        self.side = image_size if isinstance(image_size, int) else image_size[0]
        self.width = width
        self.proj = nn.Conv3d(3, width, kernel_size=self.patch_size, stride=self.patch_size)
        nn.init.normal_(self.proj.weight, std=self.proj.weight[0].numel() ** -0.5)
        nn.init.zeros_(self.proj.bias)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels that the model is made for."""
        return self.side, self.side

    def forward(self, frames: Tensor, drop: float = 0.0) -> tuple[Tensor, None]:
        """Make tokens of normalised pixels, float (B, T, 3, H, W), of which a share ``drop`` is left out.

        Returns float (B, S, D), and None, as all of them are real. A size that patches do not cover is refused.
        """
        times = self.patch_size[0]
        if frames.shape[1] == 1:
            frames = frames.expand(-1, times, -1, -1, -1)
        if frames.shape[1] % times:
            raise OmniVLValueError(
                f'a clip of {frames.shape[1]} frames cannot be cut into patches of {times}: set num_frames of LoadVideo'
                ' to a multiple, or patch_size of model.trunk.visual_encoder'
            )
        check_divisible(frames.shape[-2], frames.shape[-1], self.patch_size[1])
        patches = self.proj(frames.transpose(1, 2)).permute(0, 2, 3, 4, 1)  # (B, times, rows, columns, D)
        return self.enter(patches, None, drop)[0], None


@MODELS.register_module()
class AudioEmbedding(ModalityEmbedding):
    """Patches of the waveform or of its spectrogram.

    Args:
        width: Width D of the tokens.
        tokenizer: Config of a ``SpectrogramTokenizer`` or a ``WaveformTokenizer``.
        grid: Entries in the tables of times and bins, or of times alone for a waveform.
    """

    def __init__(self, width: int, tokenizer: dict, grid: Sequence[int] = (64, 8)) -> None:
        super().__init__(width, grid, spread=True)
        self.tokenizer = MODELS.build(dict(tokenizer, width=width))

    def forward(self, waveform: Tensor, mask: Tensor | None = None, drop: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """Make tokens of samples, float (B, N) with their mask, bool (B, N): float (B, S, D), and bool (B, S)."""
        tokens, real = self.tokenizer(waveform, mask)
        return self.enter(tokens, real, drop)


@MODELS.register_module()
class TextEmbedding(ModalityEmbedding):
    """Words or pieces of words.

    Args:
        width: Width D of the tokens.
        vocab_size: Number of tokens V.
        max_length: Longest text in tokens.
    """

    def __init__(self, width: int, vocab_size: int, max_length: int = 4096) -> None:
        super().__init__(width, (max_length,), spread=False)
        self.max_length = max_length
        self.word = nn.Embedding(vocab_size, width)
        nn.init.normal_(self.word.weight, std=width**-0.5)

    def forward(self, token_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Make tokens of ids, int64 (B, L) with their mask, bool (B, L): float (B, L, D), and the mask."""
        return self.enter(self.word(token_ids), mask, 0.0)[0], mask


class CommonSpaceHead(nn.Module):
    """Two linear layers with GELU between them and a layer norm behind: from a vector to the space that two share.

    Args:
        width: Width D of the vector.
        embed_dim: Width E of the space.
    """

    def __init__(self, width: int, embed_dim: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, embed_dim)
        self.outer = nn.Linear(embed_dim, embed_dim)
        self.norm = nn.LayerNorm(embed_dim, eps=EPS)
        init_fan_in(self)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map float (B, D) to unit vectors, float32 (B, E)."""
        hidden = torch.nn.functional.gelu(self.inner(pooled), approximate='tanh')
        return torch.nn.functional.normalize(self.norm(self.outer(hidden)).float(), dim=-1)
