import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from omnivl.datasets.transforms import RandAugment
from omnivl.datasets.transforms.randaugment import OPERATIONS, warp


def clip(frames=3, height=32, width=48):
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 200, (frames, height // 8, width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def augment(frames, seed=0, **options):
    return RandAugment(**options)({'frames': frames, 'rng': np.random.default_rng(seed)})['frames']


@pytest.mark.parametrize('name', OPERATIONS)
@pytest.mark.parametrize('amount', [-1.0, -0.5, 0.5, 1.0])
def test_operations_keep_shape_and_type_and_input(name, amount):
    frames = clip()
    out = OPERATIONS[name](frames, amount)
    assert out.shape == frames.shape and out.dtype == np.uint8
    assert (frames == clip()).all()


@pytest.mark.parametrize('name', ['Brightness', 'Sharpness', 'ShearX', 'ShearY', 'TranslateX', 'TranslateY', 'Rotate'])
def test_nothing_happens_at_amount_zero_and_something_at_blips_magnitude(name):
    frames = clip()
    assert np.abs(OPERATIONS[name](frames, 0.0).astype(int) - frames).max() <= 1
    assert (OPERATIONS[name](frames, 0.5) != frames).any()


@pytest.mark.parametrize(
    ('name', 'pil'),
    [
        ('AutoContrast', ImageOps.autocontrast),
        ('Equalize', ImageOps.equalize),
        ('Brightness', lambda image: ImageEnhance.Brightness(image).enhance(1.45)),
        ('Sharpness', lambda image: ImageEnhance.Sharpness(image).enhance(1.45)),
    ],
)
def test_colour_operations_equal_pil_on_an_image(name, pil):
    frames = clip(frames=1)
    expected = np.asarray(pil(Image.fromarray(frames[0]))).astype(int)
    assert np.abs(OPERATIONS[name](frames, 0.5)[0] - expected).max() <= 1


@pytest.mark.parametrize('name', ['AutoContrast', 'Equalize'])
def test_histograms_are_of_the_whole_clip(name):
    """Grey levels map to the same level in all frames: a clip does not flicker."""
    frames = clip()
    frames[1] //= 2
    out = OPERATIONS[name](frames, 0.5)
    for channel in range(3):
        pairs = {tuple(pair) for pair in zip(frames[..., channel].ravel().tolist(), out[..., channel].ravel().tolist())}
        assert len(pairs) == len({before for before, _ in pairs})


def test_warps_move_pixels_where_the_matrix_says():
    frames = np.full((1, 9, 11, 3), 50, np.uint8)
    frames[0, 4, 5] = 250  # the middle stays where it is under every linear map
    frames[0, 2, 7] = 200
    shifted = warp(frames, np.array([[1, 0, 2], [0, 1, -1]]))
    assert (shifted[0, 3, 7] == 250).all() and (shifted[0, 1, 9] == 200).all()
    assert (shifted[0, :, :2] == 128).all() and (shifted[0, -1] == 128).all()
    turned = warp(frames, np.array([[0, -1, 0], [1, 0, 0]]))  # x to y: clockwise as displayed
    assert (turned[0, 4, 5] == 250).all() and (turned[0, 6, 7] == 200).all()


def test_translation_is_a_share_of_the_frame():
    frames = np.full((1, 224, 448, 3), 50, np.uint8)
    frames[0, 100, 200] = 250
    assert (OPERATIONS['TranslateX'](frames, 1.0)[0, 100, 220] == 250).all()
    assert (OPERATIONS['TranslateY'](frames, -1.0)[0, 90, 200] == 250).all()


def test_options():
    frames = clip()
    assert augment(frames, prob=0.0) is frames
    assert augment(frames, num_ops=0) is frames
    assert augment(frames, operations=['Identity'], prob=1.0) is frames
    changed = [
        (augment(frames, seed, num_ops=1, operations=['Rotate'], prob=0.5) != frames).any() for seed in range(400)
    ]
    assert 150 < sum(changed) < 250
    names = RandAugment().operations
    assert names == list(OPERATIONS) and len(names) == 10


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_ops': -1}, 'num_ops must be an int of at least 0, got -1'),
        ({'magnitude': 11}, r'magnitude must be in \[0, 10\], got 11'),
        ({'prob': -0.1}, r'prob must be a number in \[0, 1\], got -0.1'),
        ({'operations': ['Invert']}, r"operations must be some of .*'AutoContrast'.*, got \['Invert'\]"),
        ({'operations': []}, 'operations must be some of'),
    ],
)
def test_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        RandAugment(**options)
