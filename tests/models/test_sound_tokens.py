"""Log-mel spectrograms against their formula and transformers; tokens of sound with what is missing."""

import math

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from omnivl.errors import OmniVLValueError
from omnivl.models.layers import LogMel, mel_filters
from omnivl.registry import MODELS

RATE = 8000


@pytest.fixture(scope='module')
def wave():
    """Two sounds of 900 samples: chords with noise."""
    rng = np.random.default_rng(0)
    times = np.arange(900) / RATE
    chords = [sum(np.sin(2 * np.pi * hertz * times) for hertz in pitches) / 4 for pitches in ((220, 950), (1300, 3100))]
    return np.stack(chords).astype(np.float32) + rng.normal(0, 0.01, (2, 900)).astype(np.float32)


def naive(wave, bins, frame, hop, fft, power, low, high):
    """The formula in loops, with HTK's scale and filters of one height, windows inside only."""
    mel = [2595 * math.log10(1 + hertz / 700) for hertz in (low, high)]
    points = [700 * (10 ** ((mel[0] + (mel[1] - mel[0]) * k / (bins + 1)) / 2595) - 1) for k in range(bins + 2)]
    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / frame) for n in range(frame)]
    rows = []
    for start in range(0, len(wave) - frame + 1, hop):
        part = [wave[start + n] * window[n] for n in range(frame)]
        row = []
        for k in range(bins):
            total = 0.0
            for f in range(fft // 2 + 1):
                hertz = f * RATE / fft
                slope = min(
                    (hertz - points[k]) / (points[k + 1] - points[k]),
                    (points[k + 2] - hertz) / (points[k + 2] - points[k + 1]),
                )
                if slope > 0:
                    value = sum(x * np.exp(-2j * np.pi * f * n / fft) for n, x in enumerate(part))
                    total += slope * abs(value) ** power
            row.append(math.log(max(total, 1e-6)))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize('power', [1.0, 2.0])
def test_log_mel_is_its_formula(wave, power):
    part = wave[:, :160]
    sizes = dict(bins=5, frame_length=64, hop_length=32, fft_length=80)
    made = LogMel(RATE, **sizes, low_hz=50, high_hz=3800, scale='htk', norm=None, power=power, floor=1e-6, pad=None)
    expected = [naive(one.astype(np.float64), 5, 64, 32, 80, power, 50, 3800) for one in part]
    assert np.abs(made(torch.from_numpy(part)).numpy() - np.stack(expected)).max() < 1e-4


@pytest.mark.parametrize('scale', ['slaney', 'htk'])
@pytest.mark.parametrize('norm', ['slaney', None])
def test_filters_are_those_of_transformers(scale, norm):
    other = mel_filter_bank(201, 40, 20.0, 7600.0, 16000, norm=norm, mel_scale=scale)
    assert np.abs(mel_filters(16000, 400, 40, 20.0, 7600.0, scale, norm).numpy() - other).max() < 1e-6


@pytest.mark.parametrize(
    ('scale', 'power', 'log', 'pad'), [('slaney', 2.0, 'natural', 'centre'), ('htk', 1.0, 'log10', None)]
)
def test_log_mel_is_that_of_transformers(wave, scale, power, log, pad):
    made = LogMel(RATE, 20, 200, 80, 256, scale=scale, power=power, log=log, pad=pad)(torch.from_numpy(wave))
    filters = mel_filter_bank(129, 20, 0.0, RATE / 2, RATE, norm='slaney', mel_scale=scale)
    options = dict(fft_length=256, power=power, center=pad == 'centre', mel_filters=filters, mel_floor=1e-10)
    options['log_mel'] = 'log' if log == 'natural' else 'log10'
    expected = [spectrogram(one, window_function(200, 'hann'), 200, 80, **options).T for one in wave]
    assert made.shape == expected[0][None].repeat(2, 0).shape
    assert np.abs(made.numpy() - np.stack(expected)).max() < 1e-4


@pytest.mark.parametrize('pad', ['centre', 'end', None])
def test_frames_are_counted(pad):
    log_mel = LogMel(RATE, 4, 64, 24, pad=pad)
    for samples in (0, 1, 23, 24, 25, 63, 64, 65, 200):
        assert log_mel(torch.zeros(1, samples)).shape == (1, log_mel.num_frames(samples), 4)
    assert log_mel.num_frames(240) == {'centre': 11, 'end': 10, None: 8}[pad]


def test_autocast_changes_nothing(wave):
    log_mel, sound = LogMel(RATE, 8, 64, 32), torch.from_numpy(wave)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(log_mel(sound), log_mel(sound).float()) and log_mel(sound).dtype == torch.float32
        inside = log_mel(sound)
    assert torch.equal(inside, log_mel(sound))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(hop_length=0), 'hop_length must be positive, got 0'),
        (dict(scale='bark'), r"scale='bark'; allowed are \('slaney', 'htk'\)"),
        (dict(high_hz=9000.0), r'low_hz=0.0 below high_hz=9000.0, which is at most half the rate of 16000 Hz'),
        (dict(fft_length=100), 'fft_length=100 must be at least frame_length=400'),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(OmniVLValueError, match=message):
        LogMel(**options)


def test_waveform_patches_and_what_is_real(wave):
    tokenizer = MODELS.build(dict(type='WaveformTokenizer', patch_size=128, width=6))
    sound = torch.from_numpy(wave)
    mask = torch.ones_like(sound, dtype=torch.bool)
    mask[0, 129:] = False
    mask[1] = False
    tokens, real = tokenizer(sound, mask)
    assert tokens.shape == (2, 8, 6) and tokenizer.num_positions(900) == 8
    assert real.tolist() == [[True] * 2 + [False] * 6, [False] * 8]
    assert torch.allclose(tokens[:, 3], tokenizer.proj(sound[:, 384:512]))
    last = torch.cat([sound[:, 896:], torch.zeros(2, 124)], dim=1)
    assert torch.allclose(tokens[:, 7], tokenizer.proj(last))
    assert tokenizer(sound)[1].all()
    nothing, real = tokenizer(torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool))
    assert nothing.shape == (2, 1, 6) and not real.any()


def test_spectrogram_patches_and_what_is_real(wave):
    log_mel = dict(rate=RATE, bins=8, frame_length=64, hop_length=32)
    tokenizer = MODELS.build(
        dict(type='SpectrogramTokenizer', width=6, patch_size=(4, 2), log_mel=log_mel, mean=-4.0, std=2.0)
    )
    sound = torch.from_numpy(wave)
    mask = torch.arange(900).expand(2, -1) < torch.tensor([[130], [0]])
    tokens, real = tokenizer(sound, mask)
    assert tokens.shape == (2, 8, 4, 6) and tokenizer.num_positions(900) == (8, 4)
    assert real.shape == (2, 8, 4) and real[0, :, 0].tolist() == [True] * 2 + [False] * 6 and not real[1].any()
    values = (tokenizer.log_mel(sound) + 4.0) / 2.0  # (2, 29, 8)
    assert torch.allclose(tokens[:, 2, 1], tokenizer.proj(values[:, 8:12, 2:4].flatten(1)), atol=1e-5)
    # Behind the end there is what silence has, so trailing silence and padding are one thing.
    quiet = torch.cat([sound, torch.zeros(2, 124)], dim=1)
    assert torch.allclose(tokenizer(quiet)[0], tokens, atol=1e-5)
    with pytest.raises(OmniVLValueError, match='the 8 bins of log_mel a multiple of 3'):
        MODELS.build(dict(type='SpectrogramTokenizer', width=6, patch_size=(4, 3), log_mel=log_mel))


def test_operations_are_counted_on_tensors_without_values():
    with torch.device('meta'):
        tokenizer = MODELS.build(dict(type='SpectrogramTokenizer', width=8))
        tokens, real = tokenizer(torch.empty(2, 16000))
    assert tokens.shape == (2, *tokenizer.num_positions(16000), 8) and real.shape == tokens.shape[:3]
