import time

import numpy as np
import pytest
import torch
from transform_toys import LetterTokenizer

from omnivl.datasets.transforms import ColorContrast, PackSample, RandomShift, TokenizeText

META = {'sample_id': '7', 'source': 'demo', 'visual': 'a.mp4', 'modality': 'video'}


def sample(frames=None):
    frames = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3) if frames is None else frames
    return {**META, 'frames': frames, 'rng': np.random.default_rng(0), 'clip': None}


def test_what_is_packed():
    results = sample() | {'text': 'a', 'captions': ['a', 'b'], 'target_id': 2**63 - 1, 'label': 0}
    results['text_ids'] = np.array([1, 2])
    packed = PackSample()(dict(results))
    assert set(packed) == {'inputs', 'pts_seconds', 'data_samples'}
    inputs, data = packed['inputs']['video'], packed['data_samples']
    assert inputs.shape == (2, 3, 4, 5) and inputs.dtype == torch.uint8 and inputs.is_contiguous()
    assert (inputs.permute(0, 2, 3, 1).numpy() == results['frames']).all()
    assert data.metainfo == {**META, 'text': 'a', 'captions': ['a', 'b']}
    assert set(data.keys()) == {'text_ids', 'target_id', 'label'}
    assert data.target_id == 2**63 - 1 and data.label == 0 and (data.text_ids == [1, 2]).all()


def test_absent_fields_stay_absent():
    data = PackSample()(sample() | {'label': None, 'text': None})['data_samples']
    assert data.keys() == [] and data.metainfo == META


@pytest.mark.parametrize(
    'view', [lambda x: x[:, :, ::-1], lambda x: x[:, 1:3, 2:], lambda x: np.broadcast_to(x[:1], x.shape)]
)
def test_any_view_of_frames_is_copied(view):
    frames = view(sample()['frames'])
    inputs = PackSample()(sample(frames))['inputs']['video']
    assert inputs.is_contiguous() and (inputs.permute(0, 2, 3, 1).numpy() == frames).all()
    inputs.fill_(0)
    assert sample()['frames'].any()


@pytest.mark.parametrize(
    ('frames', 'got'),
    [
        (np.zeros((2, 4, 5, 3), np.float32), r'float32 \(2, 4, 5, 3\)'),
        (np.zeros((4, 5, 3), np.uint8), r'uint8 \(4, 5, 3\)'),
        (np.zeros((2, 3, 4, 5), np.uint8), r'uint8 \(2, 3, 4, 5\)'),
        (np.zeros((0, 4, 5, 3), np.uint8), r'uint8 \(0, 4, 5, 3\)'),
        ([np.zeros((4, 5, 3)), np.zeros((4, 6, 3))], r'a list of \[\(4, 5, 3\), \(4, 6, 3\)\]'),
        (torch.zeros(2, 4, 5, 3), 'Tensor'),
    ],
)
def test_frames_of_another_kind(frames, got):
    with pytest.raises(ValueError, match=rf'equally large frames, uint8 \(T, H, W, 3\), got {got} for a\.mp4'):
        PackSample()(sample(frames))


@pytest.mark.parametrize('key', ['frames', 'sample_id', 'source', 'visual', 'modality'])
def test_missing_keys(key):
    results = sample()
    del results[key]
    provider = 'LoadImage or LoadVideo' if key == 'frames' else 'the dataset'
    with pytest.raises(KeyError, match=f'PackSample needs {key!r}, which {provider} provides'):
        PackSample()(results)


def test_the_demo_pipeline_costs_less_than_a_millisecond():
    pipeline = [RandomShift(3), ColorContrast(0.2), TokenizeText(LetterTokenizer(), 20), PackSample()]
    frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    seconds = []
    for _ in range(50):
        results = sample(frames) | {'text': 'a red circle'}
        start = time.perf_counter()
        for transform in pipeline:
            results = transform(results)
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 1e-3
