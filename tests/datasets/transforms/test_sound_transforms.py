"""Transforms of waveforms: seeded, within [-1, 1], and blind to what is no sound; packing with masks."""

import numpy as np
import pytest
import torch

from omnivl.datasets import collate_samples
from omnivl.datasets.transforms import LoadSoundtrack, MaskTime, PackSample, RandomGain, RandomNoise
from omnivl.errors import OmniVLKeyError, OmniVLValueError
from omnivl.models import VLDataPreprocessor, WaveformNormalizer
from omnivl.structures import AUDIO, VIDEO


def sound(seed=0):
    waveform = (0.3 * np.sin(np.arange(800) / 5)).astype(np.float32)
    waveform[700:] = np.nan
    return {'waveform': waveform, 'rng': np.random.default_rng(seed)}


@pytest.mark.parametrize(
    'transform', [RandomGain((-20, 20)), RandomNoise(0.5), RandomNoise(snr_db=(0, 20)), MaskTime(0.5, 2)]
)
def test_draws_are_those_of_the_sample_alone(transform):
    given = sound()
    kept = given['waveform'].copy()
    first, again, other = (transform(sound(seed))['waveform'] for seed in (0, 0, 1))
    assert np.array_equal(first, again, equal_nan=True) and not np.array_equal(first, other, equal_nan=True)
    assert np.isnan(first[700:]).all() and not np.isnan(first[:700]).any()
    assert first.dtype == np.float32 and np.nanmax(np.abs(first)) <= 1
    transform(given)
    assert np.array_equal(kept, sound()['waveform'], equal_nan=True)
    with pytest.raises(OmniVLKeyError, match="needs 'waveform', which LoadAudio or LoadSoundtrack provides"):
        transform({'rng': given['rng']})


def test_gain_is_in_decibels():
    assert np.allclose(
        RandomGain((6.0206, 6.0206))(sound())['waveform'][:700], 2 * sound()['waveform'][:700], atol=1e-5
    )


def test_noise_has_the_ratio_that_was_asked_for():
    waveform = np.tile(sound()['waveform'][:700], 30)
    noisy = RandomNoise(snr_db=(20, 20))({'waveform': waveform, 'rng': np.random.default_rng(0)})['waveform']
    ratio = 10 * np.log10(np.mean(waveform**2) / np.mean((noisy - waveform) ** 2))
    assert ratio == pytest.approx(20, abs=0.2)


def test_masked_time_is_silent_and_short():
    masked = MaskTime(0.25)(sound(3))['waveform']
    changed = np.flatnonzero(masked[:700] != sound()['waveform'][:700])
    assert 0 < len(changed) <= 200 and not masked[changed].any()
    assert changed[-1] - changed[0] + 1 - len(changed) <= 2  # one span


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: RandomGain((3, -3)), r'RandomGain: decibels must be a pair \(lowest, highest\), got \(3, -3\)'),
        (lambda: RandomNoise(), r'RandomNoise: give std \(at least 0\) or snr_db \(a pair\), and not both'),
        (lambda: RandomNoise(0.1, (0, 1)), 'and not both'),
        (lambda: MaskTime(2), r'MaskTime: share must be a number in \[0, 1\], got 2'),
        (lambda: MaskTime(spans=0), 'MaskTime: spans must be a positive int, got 0'),
    ],
)
def test_arguments_that_cannot_be(make, message):
    with pytest.raises(OmniVLValueError, match=message):
        make()


def packed(number, modality, waveform=None, beside=()):
    results = dict(sample_id=str(number), source='s', visual='x', modality=modality)
    results |= dict(frames=np.zeros((2, 4, 4, 3), np.uint8)) if modality == VIDEO.name else {}
    return PackSample(beside)(results | ({} if waveform is None else dict(waveform=waveform)))


def test_sounds_of_any_length_with_what_is_missing_masked():
    first = sound()['waveform']
    items = [packed(0, VIDEO.name, first, ['audio']), packed(1, VIDEO.name, first[:20], ['audio'])]
    items.append(packed(2, VIDEO.name, beside=['audio']))
    batch = VLDataPreprocessor()(collate_samples(items))['batch']
    assert batch.modality == 'video' and batch.frames.shape == (3, 2, 3, 4, 4)
    assert batch.inputs['audio'].shape == (3, 800) and batch.inputs['audio'].dtype == torch.float32
    assert batch.masks['audio'].sum(1).tolist() == [700, 20, 0] and list(batch.pts_seconds) == ['video']
    assert not batch.inputs['audio'][~batch.masks['audio']].any()
    assert np.array_equal(batch.inputs['audio'][0, :700], first[:700])


def test_sounds_alone_and_scaled():
    preprocessor = VLDataPreprocessor(normalizers=dict(waveform=dict(scale=2.0)))
    batch = preprocessor(collate_samples([packed(0, AUDIO.name, sound()['waveform'])]))['batch']
    assert list(batch.inputs) == ['audio'] and len(batch) == 1
    assert np.allclose(batch.inputs['audio'][0, :700], 2 * sound()['waveform'][:700])
    assert not list(preprocessor.state_dict())  # checkpoints of before load as they are
    assert WaveformNormalizer()(torch.ones(1, 2), None).tolist() == [[1, 1]]


@pytest.mark.parametrize('waveform', [np.zeros(3), np.zeros((1, 3), np.float32), [0.0]])
def test_what_is_no_waveform(waveform):
    with pytest.raises(OmniVLValueError, match=r'waveform must be float32 \(N,\), got'):
        packed(0, AUDIO.name, waveform)


def test_all_silent_clips_are_of_one_length():
    waveform = LoadSoundtrack(0.1, 8000)({'visual': '#0'})['waveform']
    batch = VLDataPreprocessor()(collate_samples([packed(0, VIDEO.name, waveform, ['audio'])]))['batch']
    assert batch.inputs['audio'].shape == (1, 800) and not batch.masks['audio'].any()
