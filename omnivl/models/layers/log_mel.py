"""Log-mel spectrograms of waveforms, on the device of the model.

The scales are Slaney's (Auditory Toolbox, 1998: linear below 1 kHz, logarithmic above) and that of HTK (O'Shaughnessy:
``2595 log10(1 + f / 700)``). With equal options the result is that of ``spectrogram`` and ``mel_filter_bank`` of
``transformers.audio_utils``, and of librosa's ``melspectrogram``.
"""

import math

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.mode import full_precision

SCALES, NORMS, PADS, LOGS = ('slaney', 'htk'), ('slaney', None), ('centre', 'end', None), ('natural', 'log10')
BREAK_HZ, BREAK_MEL = 1000.0, 15.0  # where Slaney's scale turns from a line to a logarithm
LOG_STEP = math.log(6.4) / 27.0  # of Slaney's scale: 27 mel from 1 to 6.4 kHz


def hz_to_mel(hertz: Tensor, scale: str) -> Tensor:
    """Map frequencies in Hz to mel, both of any shape; ``scale`` is ``'slaney'`` or ``'htk'``."""
    if scale == 'htk':
        return 2595.0 * torch.log10(1.0 + hertz / 700.0)
    above = BREAK_MEL + torch.log(hertz.clamp(min=BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return torch.where(hertz < BREAK_HZ, hertz * BREAK_MEL / BREAK_HZ, above)


def mel_to_hz(mel: Tensor, scale: str) -> Tensor:
    """Map mel to frequencies in Hz, the inverse of :func:`hz_to_mel`."""
    if scale == 'htk':
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = BREAK_HZ * torch.exp(LOG_STEP * (mel - BREAK_MEL))
    return torch.where(mel < BREAK_MEL, mel * BREAK_HZ / BREAK_MEL, above)


def mel_filters(
    rate: int, fft_length: int, bins: int, low_hz: float, high_hz: float, scale: str = 'slaney', norm: str | None = None
) -> Tensor:
    """Make triangular filters that are evenly spaced in mel.

    Args:
        rate: Samples per second.
        fft_length: Samples of the Fourier transform.
        bins: Number of filters.
        low_hz: Where the first one begins, in Hz.
        high_hz: Where the last one ends, in Hz.
        scale: ``'slaney'`` or ``'htk'``.
        norm: ``'slaney'`` gives all filters one area, None one height.

    Returns:
        float32 (fft_length // 2 + 1, bins).
    """
    low, high = hz_to_mel(torch.tensor([low_hz, high_hz], dtype=torch.float64), scale).tolist()
    points = mel_to_hz(torch.linspace(low, high, bins + 2, dtype=torch.float64), scale)
    frequencies = torch.linspace(0.0, rate / 2, fft_length // 2 + 1, dtype=torch.float64)[:, None]
    left, centre, right = points[:-2], points[1:-1], points[2:]
    rising, falling = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
    filters = torch.minimum(rising, falling).clamp(min=0.0)
    if norm == 'slaney':
        filters = filters * (2.0 / (right - left))
    return filters.float()


class LogMel(nn.Module):
    """Log-mel spectrogram: windows -> Fourier transform -> mel filters -> logarithm. In float32, also under autocast.

    ``log(max(filters^T |fft(window * x_t)|^power, floor))`` with a periodic Hann window, as in
    ``transformers.audio_utils``.

    Args:
        rate: Samples per second of the waveform.
        bins: Number of mel bins.
        frame_length: Samples of a window.
        hop_length: Samples from one window to the next.
        fft_length: Samples of the Fourier transform; a longer one than the window is filled with zeros. None = as the
            window.
        low_hz: Lowest frequency, in Hz.
        high_hz: Highest frequency, in Hz; None = half the rate.
        scale: ``'slaney'`` or ``'htk'``.
        norm: ``'slaney'``: filters of one area; None: of one height.
        power: 2 = power, 1 = magnitude.
        floor: What is smaller counts as this before the logarithm.
        log: ``'natural'`` or ``'log10'``.
        pad: ``'centre'``: window t is centred at ``t * hop_length`` of a waveform that is mirrored at its ends, so
            there are ``1 + N // hop_length``; ``'end'``: window t begins there, zeros follow the end, so there are
            ``ceil(N / hop_length)``; None: only windows that lie inside, ``1 + (N - frame_length) // hop_length``.

    Raises:
        OmniVLValueError: A size is not positive, or an option none of these.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        rate: int = 16000,
        bins: int = 128,
        frame_length: int = 400,
        hop_length: int = 160,
        fft_length: int | None = None,
        low_hz: float = 0.0,
        high_hz: float | None = None,
        scale: str = 'slaney',
        norm: str | None = 'slaney',
        power: float = 2.0,
        floor: float = 1e-10,
        log: str = 'natural',
        pad: str | None = 'centre',
    ) -> None:
        super().__init__()
        sizes = dict(rate=rate, bins=bins, frame_length=frame_length, hop_length=hop_length, power=power, floor=floor)
        for option, size in sizes.items():
            if not size > 0:
                raise OmniVLValueError(f'LogMel: {option} must be positive, got {size!r}')
        choices = dict(scale=(scale, SCALES), norm=(norm, NORMS), pad=(pad, PADS), log=(log, LOGS))
        for option, (value, allowed) in choices.items():
            if value not in allowed:
                raise OmniVLValueError(f'LogMel: {option}={value!r}; allowed are {allowed}')
        high_hz = rate / 2 if high_hz is None else high_hz
        fft_length = frame_length if fft_length is None else fft_length
        if fft_length < frame_length or not 0 <= low_hz < high_hz <= rate / 2:
            raise OmniVLValueError(
                f'LogMel: fft_length={fft_length} must be at least frame_length={frame_length}, and low_hz={low_hz} '
                f'below high_hz={high_hz}, which is at most half the rate of {rate} Hz'
            )
        self.rate, self.bins = rate, bins
        self.frame_length, self.hop_length, self.fft_length = frame_length, hop_length, fft_length
        self.power, self.floor, self.log, self.pad = power, floor, log, pad
        self.register_buffer('window', torch.hann_window(frame_length), persistent=False)
        with torch.device('cpu'):  # of which values are read on the way; a model may be built on meta
            filters = mel_filters(rate, fft_length, bins, low_hz, high_hz, scale, norm)
        self.register_buffer('filters', filters.to(self.window.device), persistent=False)

    def num_frames(self, num_samples: int) -> int:
        """Count the windows of N samples; a waveform shorter than it takes counts as one of that length."""
        if self.pad == 'end':
            return max(-(-num_samples // self.hop_length), 1)
        if self.pad == 'centre':
            return 1 + max(num_samples, self.frame_length // 2 + 1) // self.hop_length
        return 1 + (max(num_samples, self.frame_length) - self.frame_length) // self.hop_length

    @property
    def silence(self) -> float:
        """What it makes of silence, in every bin."""
        return math.log10(self.floor) if self.log == 'log10' else math.log(self.floor)

    def frames_of(self, values: Tensor) -> Tensor:
        """Cut (B, N), padded as ``pad`` says, into windows (B, T, frame_length)."""
        missing = 0
        if self.pad == 'end':
            covered = (self.num_frames(values.shape[1]) - 1) * self.hop_length + self.frame_length
            missing = covered - values.shape[1]
        elif self.pad == 'centre':
            missing = self.frame_length // 2 + 1 - values.shape[1]  # a mirror shows less than what stands before it
        else:
            missing = self.frame_length - values.shape[1]
        values = nn.functional.pad(values, (0, max(missing, 0)))
        if self.pad == 'centre':
            half = self.frame_length // 2
            values = nn.functional.pad(values[:, None], (half, half), mode='reflect')[:, 0]
        return values.unfold(1, self.frame_length, self.hop_length)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map waveforms, float (B, N) in [-1, 1], to float32 (B, T, bins) with T of :meth:`num_frames`."""
        with full_precision(waveform.device.type):
            frames = self.frames_of(waveform.float()) * self.window
            magnitude = torch.fft.rfft(frames, n=self.fft_length).abs()
            mel = (magnitude if self.power == 1 else magnitude**self.power) @ self.filters
            mel = mel.clamp(min=self.floor)
            return mel.log10() if self.log == 'log10' else mel.log()

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f'rate={self.rate}, bins={self.bins}, frame_length={self.frame_length}, hop_length={self.hop_length}'
