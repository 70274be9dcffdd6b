"""Several clips and crops of a video, and frames out of order."""

import numpy as np
import pytest
from transform_toys import read_number

from omnivl.datasets.transforms import LoadVideo, PackSample, Resize, ShuffleFrames, ThreeCrop, clip_indices
from omnivl.registry import TRANSFORMS

META = {'sample_id': '7', 'source': 'demo', 'visual': 'a.mp4', 'modality': 'video'}


def places(height, width, num_frames=2):
    """Frames whose pixel at (y, x) of frame t is (t, y, x)."""
    t, y, x = np.mgrid[:num_frames, :height, :width]
    return np.stack([t, y, x], axis=-1).astype(np.uint8)


def test_clips_are_dealt_out_of_finer_segments():
    """By hand: 12 frames, 3 clips of 2 make 6 segments of 2 frames; the middle of segment i is frame 2 i + 1."""
    assert clip_indices(12, 2, 3).tolist() == [1, 7, 3, 9, 5, 11]
    assert clip_indices(3, 4, 1).tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize('available', [1, 3, 8, 17, 300])
@pytest.mark.parametrize(('wanted', 'num_clips'), [(8, 4), (4, 2), (1, 3)])
def test_clips_see_all_of_the_video_and_no_two_alike(available, wanted, num_clips):
    clips = clip_indices(available, wanted, num_clips).reshape(num_clips, wanted)
    assert (np.diff(clips, axis=1) >= 0).all() and (np.diff(clips, axis=0) >= 0).all()
    assert clips.min() >= 0 and clips.max() < available
    segment = available / wanted
    for number in range(wanted):  # every clip has one frame of each of its segments, as in training
        assert (number * segment - 1 < clips[:, number]).all() and (clips[:, number] < (number + 1) * segment).all()
    if available >= wanted * num_clips:
        assert len(np.unique(clips)) == clips.size


def test_loading_several_clips(video_folder):
    results = LoadVideo(4, num_clips=3)({'visual': str(video_folder / 'b_frames.mp4')})
    assert results['num_views'] == 3
    assert [read_number(frame) for frame in results['frames']] == clip_indices(40, 4, 3).tolist()
    single = LoadVideo(4)({'visual': str(video_folder / 'b_frames.mp4')})
    assert 'num_views' not in single and len(single['frames']) == 4


def test_a_video_shorter_than_its_clips(video_folder):
    results = LoadVideo(4, num_clips=3)({'visual': str(video_folder / 'one.mp4')})
    assert len(results['frames']) == 12 and (results['frames'] == results['frames'][:1]).all()


@pytest.mark.parametrize('options', [{'num_clips': 0}, {'num_clips': 1.0}, {'num_clips': 2, 'random': True}])
def test_number_of_clips(options):
    with pytest.raises(ValueError, match=r'num_clips must be a positive int, and 1 for training \(random=True\)'):
        LoadVideo(4, **options)


@pytest.mark.parametrize(
    ('shape', 'corners'),
    [
        ((4, 10), [(0, 0), (0, 3), (0, 6)]),
        ((9, 4), [(0, 0), (2, 0), (5, 0)]),
        ((4, 4), [(0, 0)] * 3),
        ((6, 11), [(1, 0), (1, 3), (1, 7)]),
    ],
)
def test_three_crops_lie_along_the_longer_side(shape, corners):
    frames = places(*shape)
    results = ThreeCrop(4)({'frames': frames})
    assert results['num_views'] == 3 and results['frames'].shape == (6, 4, 4, 3)
    for crop, (top, left) in zip(np.split(results['frames'], 3), corners):
        assert (crop == frames[:, top : top + 4, left : left + 4]).all()


def test_crops_of_clips_are_whole_clips(video_folder):
    """Crop after crop, and in each clip after clip: what evaluation cuts into (V, T, ...) has one clip per row."""
    results = LoadVideo(4, num_clips=2)({'visual': str(video_folder / 'b_frames.mp4')})
    results = ThreeCrop(48)(Resize(48, keep_ratio=True)(results) | META)
    assert results['num_views'] == 6
    packed = PackSample()(results)
    assert packed['data_samples'].num_views == 6 and packed['inputs']['video'].shape == (24, 3, 48, 48)
    views = packed['inputs']['video'].unflatten(0, (6, 4))
    whole = LoadVideo(4, num_clips=2)({'visual': str(video_folder / 'b_frames.mp4')})['frames']
    for number, view in enumerate(views):
        left = (0, 8, 16)[number // 2]
        clip = whole[:4] if number % 2 == 0 else whole[4:]
        assert (view.permute(0, 2, 3, 1).numpy() == clip[:, :, left : left + 48]).all()


def test_small_frames_and_wrong_sizes():
    with pytest.raises(ValueError, match=r'ThreeCrop: frames of 3 x 10 are smaller than the crop of 4 x 4; put Resize'):
        ThreeCrop(4)({'frames': places(3, 10)})
    with pytest.raises(ValueError, match='ThreeCrop: size must be a positive int'):
        ThreeCrop(0)
    with pytest.raises(KeyError, match="ThreeCrop needs 'frames', which LoadImage or LoadVideo provides"):
        ThreeCrop(4)({})
    assert repr(TRANSFORMS.build({'type': 'ThreeCrop', 'size': 4})) == 'ThreeCrop(size=(4, 4))'


def shuffle(frames, seed=0, **results):
    return ShuffleFrames()({'frames': frames, 'rng': np.random.default_rng(seed), **results})['frames']


def test_shuffling_keeps_the_frames_and_loses_their_order():
    frames = places(4, 4, num_frames=8)
    orders = [shuffle(frames, seed)[:, 0, 0, 0].tolist() for seed in range(200)]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert orders[3] == shuffle(frames, 3)[:, 0, 0, 0].tolist()
    # Earlier and later frames are as often in this order as in the other: nothing of time is left on average.
    forward = np.mean([np.corrcoef(order, range(8))[0, 1] for order in orders])
    assert abs(forward) < 4 / np.sqrt(7 * 200)  # four standard errors; the variance of one correlation is 1 / 7


def test_views_are_shuffled_each_by_itself():
    frames = places(2, 2, num_frames=12)
    numbers = shuffle(frames, num_views=3)[:, 0, 0, 0].reshape(3, 4)
    assert [sorted(view) for view in numbers.tolist()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert len({tuple(view % 4) for view in numbers}) > 1


def test_shuffling_needs_the_generator_of_the_sample():
    with pytest.raises(KeyError, match="ShuffleFrames needs 'rng', which the dataset provides"):
        ShuffleFrames()({'frames': places(2, 2)})
    assert repr(TRANSFORMS.build({'type': 'ShuffleFrames'})) == 'ShuffleFrames()'
