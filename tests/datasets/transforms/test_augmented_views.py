"""A visual augmented several times: each view by draws of its own, all of them from the generator of the sample."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from omnivl.datasets import EpochSampler, collate_samples
from omnivl.datasets.transforms import (
    AugmentedViews,
    LoadVideo,
    RandomFlip,
    RandomResizedCrop,
    RandomShift,
    Resize,
    ThreeCrop,
)
from omnivl.datasets.verification import loader_of
from omnivl.errors import OmniVLTypeError
from omnivl.registry import DATASETS, TRANSFORMS

STEPS = [dict(type='RandomResizedCrop', size=8, scale=(0.2, 1.0)), dict(type='RandomFlip')]


def results(frames=None, seed=0, **more):
    found = {'rng': np.random.default_rng(seed), 'visual': 'a.jpg', **more}
    return found if frames is None else found | {'frames': frames}


def noise(num_frames=2, height=20, width=30, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def test_each_view_is_what_the_transforms_make_of_the_visual_with_the_next_draws():
    frames = noise()
    found = AugmentedViews(STEPS, num_views=3)(results(frames))
    rng, crop, flip = np.random.default_rng(0), RandomResizedCrop(8, (0.2, 1.0)), RandomFlip()
    expected = [flip(crop({'frames': frames, 'rng': rng}))['frames'] for _ in range(3)]
    assert found['num_views'] == 3 and (found['frames'] == np.concatenate(expected)).all()
    assert len({view.tobytes() for view in expected}) == 3


def test_no_view_sees_what_was_done_to_another():
    def paint(view):
        view['frames'][:] = view['frames'] // 2
        return view

    frames = noise()
    found = AugmentedViews([paint])(results(frames))['frames']
    assert (found == np.concatenate([frames // 2] * 2)).all() and (frames == noise()).all()


def test_with_the_loader_inside_each_view_is_of_other_moments(video_folder):
    load = LoadVideo(4, random=True)
    found = AugmentedViews([load, Resize(16)])(results(visual=str(video_folder / 'b_frames.mp4')))
    times = found['pts_seconds'].reshape(2, 4)
    assert found['frames'].shape == (8, 16, 16, 3) and (np.diff(times, axis=1) >= 0).all()
    assert not np.array_equal(*times)


def test_views_of_views_are_counted(video_folder):
    clips = LoadVideo(4, num_clips=2)(results(visual=str(video_folder / 'b_frames.mp4')))
    found = AugmentedViews([RandomShift(2), ThreeCrop(48)])(clips)
    assert found['num_views'] == 12 and len(found['frames']) == len(found['pts_seconds']) == 48


def test_wrong_transforms_and_numbers_are_refused():
    with pytest.raises(ValueError, match='AugmentedViews: num_views must be a positive int, got 0'):
        AugmentedViews(STEPS, num_views=0)

    def rename(view):
        return view | {'text': 'another'}

    with pytest.raises(OmniVLTypeError, match=r"its transforms changed \['text'\], which all views of a sample share"):
        AugmentedViews([rename])(results(noise(), text='one'))

    def shorten(view):
        return view | {'frames': view['frames'][:, : view['rng'].integers(1, 20)]}

    with pytest.raises(ValueError, match=r'its views are of different shapes, .* such as RandomResizedCrop'):
        AugmentedViews([shorten])(results(noise()))
    with pytest.raises(KeyError, match="AugmentedViews needs 'frames', which LoadImage or LoadVideo provides"):
        AugmentedViews([])(results())
    built = TRANSFORMS.build(dict(type='AugmentedViews', transforms=[dict(type='RandomShift', max_shift=2)]))
    assert repr(built) == 'AugmentedViews(transforms=[RandomShift(max_shift=2)], num_views=2)'


@pytest.fixture
def dataset(tmp_path):
    def make(pipeline):
        return DATASETS.build(
            dict(
                type='LabelDataset',
                name='noise',
                annotations=dict(type='ImageNetFolder', visual_root=str(tmp_path)),
                pipeline=pipeline,
            )
        )

    for number in range(6):
        path = tmp_path / f'{number % 2}' / f'{number}.png'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise(seed=number)[0]).save(path)
    return make


def test_views_are_the_same_in_any_worker_and_after_a_resume(dataset):
    views = dict(type='AugmentedViews', transforms=STEPS)
    source = dataset([dict(type='LoadImage'), views, dict(type='PackSample')])

    def batches(workers, done=0):
        sampler = EpochSampler(source, batch_size=2, seed=3)
        sampler.set_position(1, done)
        loader = DataLoader(source, batch_size=2, sampler=sampler, num_workers=workers, collate_fn=collate_samples)
        return [batch['inputs']['image'] for batch in loader]

    expected = batches(0)
    assert [batch.shape for batch in expected] == [(2, 2, 3, 8, 8)] * 3
    for one, other in zip(expected, batches(2), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(expected[1:], batches(1, done=1), strict=True):
        assert torch.equal(one, other)
    assert not any(torch.equal(*sample) for batch in expected for sample in batch)


def test_verifying_finds_the_loader_inside(dataset):
    inside = dataset([dict(type='AugmentedViews', transforms=[dict(type='LoadImage'), *STEPS])])
    assert [type(step).__name__ for step in loader_of(inside)] == ['LoadImage']
