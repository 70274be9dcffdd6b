"""Packing of sound, and transforms of it: float32 (N,) in [-1, 1], by draws from ``results['rng']`` alone.

A sample that is no real one (behind the end of a short sound, before its beginning, or of a clip that has none) is NaN
in ``results['waveform']``, so that value and mask are one array on the way.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.registry import PACKERS, TRANSFORMS
from omnivl.structures import WAVEFORM

from .base import Transform, as_share, require
from .packers import Packer


@PACKERS.register_module(WAVEFORM)
class WaveformPacker(Packer):
    """Pack samples float32 (N,), NaN where there is no real one; a clip without a sound may be among them."""

    key = 'waveform'
    may_miss = True

    def pack(self, results: dict[str, Any]) -> Tensor:
        """Make a tensor of the samples, none of a sample without them."""
        waveform = results.get(self.key)
        if waveform is None:
            return torch.zeros(0)
        if not isinstance(waveform, np.ndarray) or waveform.ndim != 1 or waveform.dtype != np.float32:
            got = f'{waveform.dtype} {waveform.shape}' if isinstance(waveform, np.ndarray) else type(waveform).__name__
            raise OmniVLValueError(
                f'PackSample: waveform must be float32 (N,), got {got} for {results["visual"]}; a transform of the '
                'pipeline before it returned something else'
            )
        return torch.from_numpy(np.array(waveform))

    def collate(self, values: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Pad to the longest with zeros: float32 (B, N), and bool (B, N), True = real sample."""
        padded = torch.nn.utils.rnn.pad_sequence(list(values), batch_first=True, padding_value=torch.nan)
        mask = ~padded.isnan()
        return padded.nan_to_num_(0.0), mask


def _level(waveform: np.ndarray) -> float:
    """Root mean square of the real samples of float32 (N,); 0 without any."""
    real = waveform[~np.isnan(waveform)]
    return float(np.sqrt(np.mean(np.square(real, dtype=np.float64)))) if len(real) else 0.0


def _check_range(values: Sequence[float], name: str, transform: str) -> tuple[float, float]:
    if not isinstance(values, list | tuple) or len(values) != 2 or not values[0] <= values[1]:
        raise OmniVLValueError(f'{transform}: {name} must be a pair (lowest, highest), got {values!r}')
    return float(values[0]), float(values[1])


@TRANSFORMS.register_module()
class RandomGain(Transform):
    """Make a sound louder or softer by a factor that is drawn evenly in decibels; what leaves [-1, 1] is clipped.

    Required keys: ``waveform``, ``rng``. Modified keys: ``waveform``.

    Args:
        decibels: Lowest and highest gain.
    """

    def __init__(self, decibels: Sequence[float] = (-6.0, 6.0)) -> None:
        self.decibels = _check_range(decibels, 'decibels', 'RandomGain')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Scale ``waveform``."""
        require(results, self, ('waveform', 'rng'))
        gain = 10.0 ** (results['rng'].uniform(*self.decibels) / 20.0)
        results['waveform'] = np.clip(results['waveform'] * np.float32(gain), -1.0, 1.0)
        return results


@TRANSFORMS.register_module()
class RandomNoise(Transform):
    """Add Gaussian noise to the real samples; what leaves [-1, 1] is clipped.

    Required keys: ``waveform``, ``rng``. Modified keys: ``waveform``.

    Args:
        std: Its standard deviation; VATT (2104.11178) has 0.01.
        snr_db: Lowest and highest ratio of the sound to it, drawn evenly in decibels, in the place of ``std``.
    """

    def __init__(self, std: float | None = None, snr_db: Sequence[float] | None = None) -> None:
        if (std is None) == (snr_db is None) or (std is not None and not std >= 0):
            raise OmniVLValueError(
                f'RandomNoise: give std (at least 0) or snr_db (a pair), and not both; got {std!r} and {snr_db!r}'
            )
        self.std = std
        self.snr_db = None if snr_db is None else _check_range(snr_db, 'snr_db', 'RandomNoise')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add noise to ``waveform``."""
        require(results, self, ('waveform', 'rng'))
        waveform, rng = results['waveform'], results['rng']
        std = self.std
        if self.snr_db is not None:
            std = _level(waveform) / 10.0 ** (rng.uniform(*self.snr_db) / 20.0)
        noise = rng.standard_normal(len(waveform), np.float32) * np.float32(std)
        results['waveform'] = np.clip(waveform + noise, -1.0, 1.0)
        return results


@TRANSFORMS.register_module()
class MaskTime(Transform):
    """Silence spans of a sound (SpecAugment's time masking, 1904.08779, on the waveform).

    What is silenced stays a real sample: a model is to bear it, not to know of it.

    Required keys: ``waveform``, ``rng``. Modified keys: ``waveform``.

    Args:
        share: The longest span, as a share of the waveform; each one's length is drawn evenly from 0 to that.
        spans: Number of spans; they may overlap.
    """

    def __init__(self, share: float = 0.1, spans: int = 1) -> None:
        if not isinstance(spans, int) or spans < 1:
            raise OmniVLValueError(f'MaskTime: spans must be a positive int, got {spans!r}')
        self.share = as_share(share, 'share', 'MaskTime')
        self.spans = spans

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Silence parts of ``waveform``."""
        require(results, self, ('waveform', 'rng'))
        waveform, rng = results['waveform'].copy(), results['rng']
        for _ in range(self.spans):
            length = int(rng.random() * self.share * len(waveform))
            start = int(rng.integers(len(waveform) - length + 1))
            part = waveform[start : start + length]
            part[~np.isnan(part)] = 0.0
        results['waveform'] = waveform
        return results
