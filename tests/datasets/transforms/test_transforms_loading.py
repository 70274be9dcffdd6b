import io

import cv2
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader
from transform_toys import build_or_skip, read_number

from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.transforms import LoadImage, LoadVideo, segment_indices
from omnivl.datasets.transforms.loading import FORMATS, jpeg_is_whole
from omnivl.registry import TRANSFORMS


def load(path, **options):
    return LoadImage(**options)({'visual': str(path)})['frames']


def smooth_picture(height=60, width=80):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=-1).astype(np.uint8)


def jpeg_bytes(picture, **options):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, 'JPEG', quality=95, **options)
    return buffer.getvalue()


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
def test_an_image_is_a_clip_of_one_frame(tmp_path, backend):
    picture = smooth_picture()
    (tmp_path / 'a.jpg').write_bytes(jpeg_bytes(picture, subsampling=0))
    frames = load(tmp_path / 'a.jpg', backend=backend)
    assert frames.shape == (1, 60, 80, 3) and frames.dtype == np.uint8 and frames.flags.writeable
    assert np.abs(frames[0].astype(int) - picture).max() <= 6


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
@pytest.mark.parametrize(
    ('orientation', 'shown'),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda x: np.rot90(x, 1)),
    ],
)
def test_exif_orientation(tmp_path, backend, orientation, shown):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / 'a.jpg').write_bytes(jpeg_bytes(smooth_picture(), subsampling=0, exif=exif.tobytes()))
    expected = shown(smooth_picture())
    frame = load(tmp_path / 'a.jpg', backend=backend)[0]
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).max() <= 6


def pixel(path):
    return load(path)[0, 0, 0].tolist()


def test_modes_become_rgb_over_white(tmp_path):
    size = (4, 4)
    path = tmp_path / 'a.png'
    for mode, colour, expected in [
        ('L', 100, [100, 100, 100]),
        ('1', 1, [255, 255, 255]),
        ('LA', (100, 255), [100, 100, 100]),
        ('LA', (100, 0), [255, 255, 255]),
        ('RGBA', (10, 20, 30, 255), [10, 20, 30]),
        ('RGBA', (10, 20, 30, 0), [255, 255, 255]),
        ('RGBA', (0, 0, 0, 128), [127, 127, 127]),
    ]:
        Image.new(mode, size, colour).save(path)
        assert pixel(path) == expected, mode
    palette = Image.new('P', size, 1)
    palette.putpalette([1, 2, 3, 40, 50, 60])
    palette.save(path)
    assert pixel(path) == [40, 50, 60]
    palette.save(path, transparency=1)
    assert pixel(path) == [255, 255, 255]
    Image.new('RGB', size, (9, 9, 9)).save(path, transparency=(9, 9, 9))
    assert pixel(path) == [255, 255, 255]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / 'a.png')
    Image.fromarray(values).save(tmp_path / 'a.tif')
    for name in ('a.png', 'a.tif'):
        assert load(tmp_path / name)[0, 0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk(tmp_path):
    Image.new('CMYK', (8, 8), (0, 255, 255, 0)).save(tmp_path / 'a.jpg', quality=95)
    red = load(tmp_path / 'a.jpg')[0, 4, 4]
    assert red[0] > 240 and red[1] < 15 and red[2] < 15


def test_animations_show_their_first_frame(tmp_path):
    pictures = [Image.new('RGB', (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    for name in ('a.gif', 'a.webp', 'a.png'):
        lossless = {'lossless': True} if name.endswith('webp') else {}
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], **lossless)
        assert pixel(tmp_path / name) == [255, 0, 0]


def test_other_formats_are_left_to_pillow_by_cv2(tmp_path):
    Image.new('RGBA', (4, 4), (10, 20, 30, 0)).save(tmp_path / 'a.png')
    assert load(tmp_path / 'a.png', backend='cv2')[0, 0, 0].tolist() == [255, 255, 255]


def test_short_side_never_makes_an_image_smaller_than_that(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(jpeg_bytes(smooth_picture(600, 800)))
    for short_side, expected in ((100, (150, 200)), (150, (150, 200)), (151, (300, 400)), (900, (600, 800))):
        assert load(tmp_path / 'a.jpg', short_side=short_side).shape[1:3] == expected


@pytest.mark.filterwarnings('ignore:Corrupt EXIF', 'ignore:Tag data larger')
@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
def test_broken_images_say_so(tmp_path, backend):
    # The thumbnail has an end-of-image marker of its own, inside the part that is left.
    exif = b'Exif\x00\x00' + b'II*\x00' + bytes(4) + jpeg_bytes(smooth_picture(16, 16))
    data = jpeg_bytes(smooth_picture(200, 200), exif=exif)
    for progressive in (False, True):
        whole = jpeg_bytes(smooth_picture(200, 200), exif=exif, progressive=progressive)
        assert jpeg_is_whole(whole) and jpeg_is_whole(whole + b'trailing')
        assert not jpeg_is_whole(whole[: len(whole) * 2 // 3])
    buffer = io.BytesIO()
    Image.fromarray(smooth_picture()).save(buffer, 'PNG')
    for name, content in [
        ('cut.jpg', data[: len(data) * 2 // 3]),
        ('head.jpg', data[:20]),
        ('cut.png', buffer.getvalue()[:-200]),
        ('empty.jpg', b''),
        ('text.jpg', b'<html>404 not found</html>'),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BrokenVisualError, match='cannot be read as an image') as raised:
            load(tmp_path / name, backend=backend)
        assert raised.value.path == str(tmp_path / name)
    with pytest.raises(BrokenVisualError, match='there is no such file'):
        load(tmp_path / 'missing.jpg', backend=backend)


def test_float_images_are_refused(tmp_path):
    Image.new('F', (4, 4), 0.5).save(tmp_path / 'a.tif')
    with pytest.raises(BrokenVisualError, match='32-bit floats'):
        load(tmp_path / 'a.tif')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'backend': 'turbojpeg'}, "backend must be 'pillow' or 'cv2', got 'turbojpeg'"),
        ({'short_side': 0}, 'short_side must be positive'),
        ({'backend': 'cv2', 'short_side': 100}, "needs backend='pillow'"),
    ],
)
def test_load_image_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        LoadImage(**options)


def test_video_frames_are_those_of_the_segments(video_folder):
    results = {'visual': str(video_folder / 'b_frames.mp4')}
    frames = LoadVideo(8)(dict(results))['frames']
    assert frames.shape == (8, 48, 64, 3) and frames.dtype == np.uint8
    assert [read_number(frame) for frame in frames] == segment_indices(40, 8).tolist()
    random = LoadVideo(8, random=True)(results | {'rng': np.random.default_rng(3)})['frames']
    assert [read_number(frame) for frame in random] == segment_indices(40, 8, np.random.default_rng(3)).tolist()


def test_clips_and_short_videos_give_as_many_frames_as_asked(video_folder):
    path = str(video_folder / 'b_frames.mp4')
    frames = LoadVideo(4)({'visual': path, 'clip': (0.4, 0.8)})['frames']  # frames 10 to 19
    assert [read_number(frame) for frame in frames] == [11, 13, 16, 18]
    assert len(LoadVideo(12)({'visual': path, 'clip': (0.4, 0.48)})['frames']) == 12
    assert (
        len(
            LoadVideo(8, random=True)({'visual': str(video_folder / 'one.mp4'), 'rng': np.random.default_rng()})[
                'frames'
            ]
        )
        == 8
    )
    assert len(LoadVideo(4)({'visual': path, 'clip': None})['frames']) == 4


def test_load_video_needs_the_generator_only_for_random_draws(video_folder):
    with pytest.raises(KeyError, match="LoadVideo needs 'rng', which the dataset provides"):
        LoadVideo(8, random=True)({'visual': str(video_folder / 'one.mp4')})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_frames': 0}, 'num_frames must be a positive int, got 0'),
        ({'num_frames': 8.0}, 'num_frames must be a positive int, got 8.0'),
        ({'num_frames': 8, 'short_side': 0}, 'short_side must be a positive int in pixels or None, got 0'),
    ],
)
def test_load_video_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        LoadVideo(**options)


def test_built_by_name(video_folder):
    transform = TRANSFORMS.build({'type': 'LoadVideo', 'num_frames': 2, 'decoder': {'type': 'pyav'}, 'short_side': 24})
    assert transform({'visual': str(video_folder / 'one.mp4')})['frames'].shape == (2, 24, 32, 3)
    assert 'PyAVDecoder' in repr(transform)
    assert repr(TRANSFORMS.build({'type': 'LoadImage'})) == (
        "LoadImage(backend='pillow', short_side=None, max_pixels=89478485, max_side=32768, remote=False)"
    )


class Videos:
    """A dataset of one video, as a loader's worker sees it."""

    def __init__(self, path, decoder):
        self.path, self.transform = path, LoadVideo(4, decoder=decoder)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        frames = self.transform({'visual': self.path})['frames']
        return [read_number(frame) for frame in frames], cv2.getNumThreads()


@pytest.mark.parametrize('decoder', ['decord', 'pyav', 'opencv'])
def test_videos_are_decoded_in_forked_workers(video_folder, decoder):
    dataset = Videos(str(video_folder / 'b_frames.mp4'), build_or_skip(decoder))
    expected = dataset[0][0]  # the library is used in the main process before the fork, too
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context='fork', timeout=60)
    for numbers, threads in loader:
        assert numbers == expected and threads == 1


def test_only_pictures_are_opened_whatever_the_name_says(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(smooth_picture()).save(buffer, 'EPS')  # PIL would start Ghostscript
    (tmp_path / 'a.jpg').write_bytes(buffer.getvalue())
    with pytest.raises(BrokenVisualError, match='cannot identify image file'):
        load(tmp_path / 'a.jpg')


@pytest.mark.parametrize('name', FORMATS)
def test_every_format_is_opened(name, tmp_path):
    Image.init()
    if name not in Image.SAVE:
        pytest.skip(f'this PIL does not write {name}')
    Image.fromarray(smooth_picture()).save(tmp_path / 'a.picture', name)
    assert load(tmp_path / 'a.picture').shape[0] == 1
