"""Pictures of sound: the waveform, and below it the spectrogram."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image
from torch import Tensor

from omnivl.registry import PICTURES
from omnivl.structures import WAVEFORM

from .sheets import CARD, LINE

WIDTH = 3  # of a strip, as a multiple of its height
WINDOW = 512  # samples of a Fourier transform
SILENT = -70.0  # decibels below the loudest, which are drawn as silence
WAVE = '#2f6f9f'
# From silence to the loudest.
SCALE = np.array([[13, 8, 60], [110, 28, 110], [205, 70, 70], [250, 160, 50], [252, 250, 190]], np.float64)


@PICTURES.register_module(WAVEFORM)
def draw_waveforms(values: Sequence[Tensor], height: int) -> list[Image.Image]:
    """Draw sounds, float32 (N,) in [-1, 1], one below the other; see ``draw_values``.

    The upper third is the waveform, the rest the spectrogram, low tones at the bottom. Where there is no sound (NaN)
    both are grey.
    """
    return [draw_sound(value.numpy(), height) for value in values]


def draw_sound(waveform: np.ndarray, height: int) -> Image.Image:
    """Draw one sound, float32 (N,), NaN where there is none, ``height`` pixels high."""
    width, upper = WIDTH * height, max(height // 3, 1)
    if not len(waveform):
        waveform = np.full(1, np.nan, np.float32)
    strip = np.empty((height, width, 3), np.uint8)
    edges = np.linspace(0, len(waveform), width + 1)
    missing = np.array([np.isnan(part).all() for part in _columns(waveform, edges)])
    strip[:upper] = _envelope(np.nan_to_num(waveform), edges, upper)
    strip[upper:] = _spectrum(np.nan_to_num(waveform), edges, height - upper)
    strip[:, missing] = _colour(LINE)
    return Image.fromarray(strip)


def _columns(waveform: np.ndarray, edges: np.ndarray) -> list[np.ndarray]:
    """Cut samples (N,) into those of each column of a picture, at least one each."""
    return [waveform[int(low) : max(int(high), int(low) + 1)] for low, high in pairwise(edges)]


def _envelope(waveform: np.ndarray, edges: np.ndarray, height: int) -> np.ndarray:
    """Draw the lowest and highest sample of each column: uint8 (height, width, 3)."""
    parts = _columns(waveform, edges)
    # Row 0 is at 1, the last row at -1.
    tops, bottoms = ((1.0 - np.array([pick(part) for part in parts])) / 2 * (height - 1) for pick in (np.max, np.min))
    rows = np.arange(height)[:, None]
    inside = (rows >= np.floor(tops)) & (rows <= np.ceil(bottoms))
    return np.where(inside[..., None], _colour(WAVE), _colour(CARD)).astype(np.uint8)


def _spectrum(waveform: np.ndarray, edges: np.ndarray, height: int) -> np.ndarray:
    """Draw the power around the middle of each column, in decibels of the loudest: uint8 (height, width, 3)."""
    padded = np.pad(waveform, (WINDOW // 2, WINDOW))
    starts = ((edges[:-1] + edges[1:]) / 2).astype(np.int64)
    frames = padded[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2  # (width, WINDOW // 2 + 1)
    decibels = 10.0 * np.log10(np.maximum(power / max(float(power.max()), 1e-12), 1e-12))
    shares = np.clip(1.0 - decibels / SILENT, 0.0, 1.0)
    # Squares, so that the lower quarter of the tones, where most is heard, takes half of the picture.
    rows = (np.linspace(1, 0, height) ** 2 * (power.shape[1] - 1)).round().astype(np.int64)
    places = shares[:, rows].T * (len(SCALE) - 1)
    low = np.minimum(places.astype(np.int64), len(SCALE) - 2)
    part = (places - low)[..., None]
    return (SCALE[low] * (1 - part) + SCALE[low + 1] * part).astype(np.uint8)


def _colour(name: str) -> np.ndarray:
    return np.array([int(name[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)
