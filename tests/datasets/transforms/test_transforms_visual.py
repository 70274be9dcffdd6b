import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from omnivl.datasets.transforms import CenterCrop, ColorContrast, RandomFlip, RandomResizedCrop, RandomShift, Resize
from omnivl.datasets.transforms.visual import resize_frames, shift_frames
from omnivl.registry import TRANSFORMS

RANDOM = {
    'RandomResizedCrop': {'size': 24},
    'RandomFlip': {'prob': 0.5},
    'RandomShift': {'max_shift': 3},
    'ColorContrast': {'contrast': 0.3},
    'RandAugment': {'num_ops': 2, 'magnitude': 9, 'prob': 1.0},
}


def noise(frames=3, height=40, width=56, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def apply(transform, frames, seed=0):
    return transform({'frames': frames, 'rng': np.random.default_rng(seed)})['frames']


@pytest.mark.parametrize('name', RANDOM)
def test_one_draw_for_all_frames(name):
    transform = TRANSFORMS.build({'type': name, **RANDOM[name]})
    frames = np.repeat(noise(frames=1), 4, axis=0)
    for seed in range(20):
        out = apply(transform, frames.copy(), seed)
        assert out.dtype == np.uint8 and len(out) == 4
        assert (out == out[:1]).all()


@pytest.mark.parametrize('name', RANDOM)
def test_draws_come_from_the_generator_of_the_sample_alone(name):
    transform = TRANSFORMS.build({'type': name, **RANDOM[name]})
    np.random.seed(0)
    first = [apply(transform, noise(), seed) for seed in range(10)]
    np.random.seed(1)
    again = [apply(transform, noise(), seed) for seed in range(10)]
    assert all((a == b).all() for a, b in zip(first, again))
    assert any(a.shape != b.shape or (a != b).any() for a, b in itertools.pairwise(first))


@pytest.mark.parametrize('name', RANDOM)
def test_the_input_array_is_left_as_it_was(name):
    transform = TRANSFORMS.build({'type': name, **RANDOM[name]})
    frames = noise()
    frames.setflags(write=False)
    for seed in range(20):
        apply(transform, frames, seed)
    assert (frames == noise()).all()


@pytest.mark.parametrize('size', [(20, 28), (7, 20), (64, 64), (90, 60)])
@pytest.mark.parametrize('count', [1, 3])
def test_resize_is_that_of_torchvision_to_the_byte(size, count):
    frames = noise(frames=count)
    expected = functional.resize(torch.from_numpy(frames).permute(0, 3, 1, 2), size, InterpolationMode.BICUBIC)
    assert (resize_frames(frames, size) == expected.permute(0, 2, 3, 1).numpy()).all()


@pytest.mark.parametrize('size', [(20, 28), (39, 50), (7, 20), (40, 56), (64, 64), (90, 60)])
def test_resize_equals_pil_bicubic(size):
    frames = noise()[:, ::-1]  # a view with a negative stride
    expected = np.stack([np.asarray(Image.fromarray(frame).resize(size[::-1], Image.BICUBIC)) for frame in frames])
    out = resize_frames(frames, size)
    assert out.shape == (3, *size, 3) and out.dtype == np.uint8
    difference = np.abs(out.astype(int) - expected)
    # PIL rounds between its two passes, which shows where white noise is enlarged.
    assert difference.max() <= 1 if size[0] <= 40 else difference.mean() < 0.5


def test_resize_covers_a_size_and_keeps_the_ratio():
    assert Resize(20)({'frames': noise()})['frames'].shape == (3, 20, 20, 3)
    assert Resize((10, 30))({'frames': noise()})['frames'].shape == (3, 10, 30, 3)
    assert Resize(20, keep_ratio=True)({'frames': noise()})['frames'].shape == (3, 20, 28, 3)
    assert Resize((20, 40), keep_ratio=True)({'frames': noise()})['frames'].shape == (3, 29, 40, 3)
    for height in range(1, 60, 7):
        shape = Resize(33, keep_ratio=True)({'frames': noise(1, height, 17)})['frames'].shape
        assert min(shape[1:3]) == 33


def test_center_crop():
    frames = noise()
    assert (CenterCrop((20, 16))({'frames': frames})['frames'] == frames[:, 10:30, 20:36]).all()
    with pytest.raises(ValueError, match=r'frames of 40 x 56 are smaller than the crop of 41 x 41; put Resize'):
        CenterCrop(41)({'frames': frames})


def test_random_resized_crop_of_everything_is_resize():
    frames = noise()
    out = apply(RandomResizedCrop(24, scale=(1.0, 1.0), ratio=(56 / 40, 56 / 40)), frames)
    assert (out == resize_frames(frames, (24, 24))).all()


def test_boxes_stay_inside_and_keep_their_share_and_ratio():
    crop = RandomResizedCrop(24, scale=(0.5, 0.9), ratio=(0.75, 4 / 3))
    rng = np.random.default_rng(0)
    for _ in range(500):
        top, left, height, width = crop.draw_box(200, 300, rng)
        assert 0 <= top <= top + height <= 200 and 0 <= left <= left + width <= 300
        assert 0.49 <= height * width / 60000 <= 0.91
        assert 0.74 <= width / height <= 1.35


@pytest.mark.parametrize(('height', 'width', 'expected'), [(10, 1000, (10, 13)), (1000, 10, (13, 10)), (1, 1, (1, 1))])
def test_frames_too_narrow_for_any_box_are_cropped_in_the_middle(height, width, expected):
    top, left, *size = RandomResizedCrop(24, scale=(1.0, 1.0)).draw_box(height, width, np.random.default_rng(0))
    assert tuple(size) == expected
    assert (top, left) == ((height - expected[0]) // 2, (width - expected[1]) // 2)


def test_flip():
    frames = noise()
    assert (apply(RandomFlip(1.0), frames) == frames[:, :, ::-1]).all()
    assert apply(RandomFlip(0.0), frames) is frames
    flipped = sum((apply(RandomFlip(0.3), frames, seed) != frames).any() for seed in range(1000))
    assert 250 < flipped < 350


@pytest.mark.parametrize(('down', 'right'), [(0, 0), (2, 0), (0, -3), (-1, 3), (50, -70)])
def test_shift_equals_its_formula(down, right):
    frames = noise(2, 6, 7)
    expected = np.empty_like(frames)
    for y in range(6):
        for x in range(7):
            expected[:, y, x] = frames[:, min(max(y - down, 0), 5), min(max(x - right, 0), 6)]
    assert (shift_frames(frames, down, right) == expected).all()


def test_random_shift_reaches_every_shift_equally():
    frames = noise(1, 9, 9)
    shifts = {shift_frames(frames, y, x).tobytes(): (y, x) for y in range(-2, 3) for x in range(-2, 3)}
    seen = [shifts[apply(RandomShift(2), frames, seed).tobytes()] for seed in range(1000)]
    counts = [seen.count(shift) for shift in shifts.values()]
    assert min(counts) > 15 and max(counts) < 75


def test_contrast_is_a_line_through_mid_grey():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    seed = 5
    factor = np.random.default_rng(seed).uniform(0.7, 1.3)
    out = apply(ColorContrast(0.3), levels, seed).reshape(256, 3)
    expected = np.clip(127.5 + factor * (np.arange(256) - 127.5), 0, 255)
    assert np.abs(out - expected[:, None]).max() <= 0.5 + 1e-9
    assert (apply(ColorContrast(0.0), levels) == levels).all()


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'type': 'Resize', 'size': 0}, r'Resize: size must be a positive int or \(height, width\) in pixels, got 0'),
        ({'type': 'Resize', 'size': (3, 4, 5)}, r'got \(3, 4, 5\)'),
        ({'type': 'CenterCrop', 'size': 22.5}, 'CenterCrop: size .* got 22.5'),
        ({'type': 'RandomResizedCrop', 'size': 8, 'scale': (0.8, 0.2)}, r'scale must be .* got \(0.8, 0.2\)'),
        ({'type': 'RandomResizedCrop', 'size': 8, 'scale': (0.8, 1.2)}, 'scale must be'),
        ({'type': 'RandomResizedCrop', 'size': 8, 'ratio': (0, 1)}, 'ratio must be'),
        ({'type': 'RandomFlip', 'prob': 1.5}, r'RandomFlip: prob must be a number in \[0, 1\], got 1.5'),
        ({'type': 'RandomShift', 'max_shift': -1}, 'max_shift must be an int of at least 0 in pixels, got -1'),
        ({'type': 'ColorContrast', 'contrast': 2}, r'contrast must be a number in \[0, 1\], got 2'),
    ],
)
def test_arguments_are_checked_when_built(config, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(config)


@pytest.mark.parametrize('name', [*RANDOM, 'Resize', 'CenterCrop'])
def test_missing_frames_name_who_provides_them(name):
    transform = TRANSFORMS.build({'type': name, **RANDOM.get(name, {'size': 8})})
    with pytest.raises(KeyError, match=f"{name} needs 'frames', which LoadImage or LoadVideo provides"):
        transform({'visual': 'a.jpg'})
    assert repr(transform).startswith(f'{name}(')
