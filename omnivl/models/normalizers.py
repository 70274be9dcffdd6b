"""Normalizers of kinds of values beside frames (registry ``NORMALIZERS``)."""

from torch import Tensor, nn

from omnivl.registry import NORMALIZERS
from omnivl.structures import WAVEFORM


@NORMALIZERS.register_module(WAVEFORM)
class WaveformNormalizer(nn.Module):
    """Scale samples; what is no real sample stays zero.

    Args:
        scale: Factor; 1 leaves samples in [-1, 1].
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, waveform: Tensor, mask: Tensor | None) -> Tensor:
        """Scale samples, float (B, N), by their mask, bool (B, N), to float32."""
        waveform = waveform.float() * self.scale
        return waveform if mask is None else waveform.masked_fill(~mask, 0.0)
