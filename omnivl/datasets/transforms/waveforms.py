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
from omnivl.registry import PACKERS
from omnivl.structures import WAVEFORM

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
