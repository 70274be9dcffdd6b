"""Tokenizers of sound: patches of the waveform (VATT, 2104.11178), or of its log-mel spectrogram (AST, 2104.01778)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from omnivl.errors import OmniVLValueError
from omnivl.models.layers.log_mel import LogMel
from omnivl.registry import MODELS


@MODELS.register_module()
class WaveformTokenizer(nn.Module):
    """Patches of samples through one linear layer; no positions.

    Args:
        patch_size: Samples of a patch.
        width: Width D of the tokens.
        bias: Whether the layer has a bias.
    """

    def __init__(self, patch_size: int, width: int, bias: bool = True) -> None:
        super().__init__()
        if patch_size < 1:
            raise OmniVLValueError(f'WaveformTokenizer: patch_size must be at least 1 sample, got {patch_size}')
        self.patch_size = patch_size
        self.proj = nn.Linear(patch_size, width, bias=bias)

    def num_positions(self, num_samples: int) -> int:
        """Count the tokens of N samples; the last may be of a part of a patch, and no sound is one token."""
        return max(-(-num_samples // self.patch_size), 1)

    def forward(self, waveform: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokenize.

        Args:
            waveform: Samples, float (B, N).
            mask: bool (B, N), True = real sample; None = all are.

        Returns:
            Tokens, float (B, S, D) with S of ``num_positions``, and bool (B, S): True where a real sample is inside.
        """
        patches, real = (self._cut(part) for part in (waveform, _mask_of(waveform, mask)))
        return self.proj(patches), real.any(2)

    def _cut(self, values: Tensor) -> Tensor:
        """Cut (B, N) into (B, S, patch_size), with zeros at the end."""
        missing = self.num_positions(values.shape[1]) * self.patch_size - values.shape[1]
        return pad(values, (0, missing)).unflatten(1, (-1, self.patch_size))


@MODELS.register_module()
class SpectrogramTokenizer(nn.Module):
    """Patches of the log-mel spectrogram through one linear layer, which are not overlapping; no positions.

    Args:
        width: Width D of the tokens.
        patch_size: Windows and mel bins of a patch; the bins of the spectrogram are a multiple of the latter.
        log_mel: Options of :class:`~omnivl.models.layers.log_mel.LogMel`; its ``pad`` is ``'end'`` where it is not
            given, so that windows and samples end together.
        mean: What is taken off the log-mel values, as AudioSet's mean.
        std: What they are divided by then.
        bias: Whether the layer has a bias.

    Raises:
        OmniVLValueError: The bins are no such multiple.
    """

    def __init__(
        self,
        width: int,
        patch_size: tuple[int, int] = (16, 16),
        log_mel: Mapping[str, Any] | None = None,
        mean: float = 0.0,
        std: float = 1.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.log_mel = LogMel(**{'pad': 'end', **(log_mel or {})})
        self.patch_size = (int(patch_size[0]), int(patch_size[1]))
        if min(self.patch_size) < 1 or self.log_mel.bins % self.patch_size[1]:
            raise OmniVLValueError(
                f'SpectrogramTokenizer: patch_size={self.patch_size} (windows, bins) must be positive, and the '
                f'{self.log_mel.bins} bins of log_mel a multiple of {self.patch_size[1]}'
            )
        self.mean, self.std = mean, std
        self.proj = nn.Linear(self.patch_size[0] * self.patch_size[1], width, bias=bias)

    def num_positions(self, num_samples: int) -> tuple[int, int]:
        """Count the tokens of N samples, in time and over the bins: T', F'; the last in time may be of a part."""
        frames = self.log_mel.num_frames(num_samples)
        return -(-frames // self.patch_size[0]), self.log_mel.bins // self.patch_size[1]

    def forward(self, waveform: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokenize.

        Args:
            waveform: Samples, float (B, N).
            mask: bool (B, N), True = real sample; None = all are.

        Returns:
            Tokens, float (B, T', F', D) with the sizes of ``num_positions``, and bool (B, T', F'): True where a window
            of the patch has a real sample inside.
        """
        times, rows = self.patch_size
        mask = _mask_of(waveform, mask)
        values = (self.log_mel(waveform) - self.mean) / self.std  # (B, T, bins)
        real = self.log_mel.frames_of(mask.float()).amax(2) > 0  # (B, T)
        missing = -values.shape[1] % times
        silence = (self.log_mel.silence - self.mean) / self.std
        values = pad(values, (0, 0, 0, missing), value=silence)
        patches = values.unflatten(1, (-1, times)).unflatten(3, (-1, rows))  # (B, T', times, F', rows)
        patches = patches.transpose(2, 3).flatten(3)
        real = pad(real, (0, missing)).unflatten(1, (-1, times)).any(2)
        return self.proj(patches), real[:, :, None].expand(-1, -1, patches.shape[2])


def _mask_of(waveform: Tensor, mask: Tensor | None) -> Tensor:
    return torch.ones_like(waveform, dtype=torch.bool) if mask is None else mask
