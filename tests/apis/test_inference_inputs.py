import builtins
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from api_world import picture
from PIL import Image
from transform_toys import irregular_times, write_rotated, write_sound, write_video

from omnivl.apis.inputs import all_texts, is_text, list_folder, read_visuals
from omnivl.datasets.transforms import LoadImage


def kinds(x, modality=None):
    visuals, single = read_visuals(x, modality)
    return [visual.modality for visual in visuals], single


def test_what_is_an_image_and_what_a_video():
    image, array = picture(0, 8, 8), np.zeros((8, 8, 3), np.uint8)
    clip = np.zeros((4, 8, 8, 3), np.uint8)
    assert kinds('a.JPG') == (['image'], True) and kinds(Path('b.mov')) == (['video'], True)
    assert kinds('https://host/clip.mp4?size=3') == (['video'], True)
    assert kinds('zip://inside/a.png::https://host/all.zip') == (['image'], True)
    assert kinds(image) == (['image'], True) and kinds(clip) == (['video'], True)
    assert kinds([image, array, clip, [image, image], 'a.webm']) == (['image', 'image', *['video'] * 3], False)
    assert kinds([image, image], 'video') == (['video'], True)
    assert kinds([[image, image], [array]], 'video') == (['video', 'video'], False)
    assert kinds('a.gif', 'video') == (['video'], True)


def test_folders_are_searched_in_order(tmp_path):
    for name in ('b.png', 'a/2.mp4', 'a/10.jpg', 'notes.txt', '.hidden/x.png', '.y.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    found = [str(Path(path).relative_to(tmp_path)) for path in list_folder(tmp_path)]
    assert found == ['a/10.jpg', 'a/2.mp4', 'b.png']
    visuals, single = read_visuals([tmp_path, 'c.png'])
    assert [Path(visual.name).name for visual in visuals] == ['10.jpg', '2.mp4', 'b.png', 'c.png'] and not single
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='has no image or video or audio; looked for are'):
        read_visuals(tmp_path / 'empty')


def test_what_is_no_input_is_an_error(tmp_path):
    for x in (3, None, {'a.png'}, [b'png']):
        with pytest.raises(TypeError, match='allowed is a path, a URL'):
            read_visuals(x)
    with pytest.raises(ValueError, match='the list of inputs is empty'):
        read_visuals([])
    (tmp_path / 'file.xyz').write_bytes(b'')
    assert "give modality='image' or 'video'" in read_visuals(tmp_path / 'file.xyz')[0][0].error
    assert read_visuals(tmp_path / 'file.xyz', 'image')[0][0].error is None
    assert 'a list of frames is a video' in read_visuals([[picture(0, 8, 8)]], 'image')[0][0].error


def test_texts_and_names_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'dog').mkdir()
    assert is_text('dog') and not is_text('./dog') and not is_text('dog/')
    assert is_text('either/or') and not is_text('a dog.png') and not is_text('s3://a/dog') and not is_text(Path('dog'))
    assert is_text('x' * 5000) and is_text('a/' + 'x' * 5000)
    assert all_texts(['dog', 'cat']) and not all_texts(['a.png']) and not all_texts([])


def feature(inferencer, x, **options):
    row = inferencer.features(x, **options)
    assert 'error' not in row, row
    return row['feature']


def test_pictures_of_every_mode(tmp_path, inferencer):
    colour = picture(1, 40, 40)
    grey = colour.convert('L')
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    clear = colour.convert('RGBA')
    clear.putalpha(Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 6, (40, 1))))
    modes = {'grey': grey, 'sixteen': sixteen, 'alpha': clear, 'palette': colour.convert('P')}
    features = {}
    for name, image in modes.items():
        image.save(tmp_path / f'{name}.png')
        features[name] = feature(inferencer, tmp_path / f'{name}.png')
        assert np.array_equal(feature(inferencer, image), features[name])  # in memory as from the file
    assert np.allclose(features['grey'], features['sixteen'], atol=1e-5)
    over_white = Image.alpha_composite(Image.new('RGBA', clear.size, (255,) * 4), clear).convert('RGB')
    assert np.allclose(feature(inferencer, over_white), features['alpha'], atol=1e-5)
    colour.save(tmp_path / 'moving.gif', save_all=True, append_images=[grey, clear], loop=0)
    first = LoadImage()({'visual': str(tmp_path / 'moving.gif')})['frames'][0]
    assert np.array_equal(feature(inferencer, tmp_path / 'moving.gif'), feature(inferencer, first))
    turned = Image.Exif()
    turned[0x0112] = 6
    colour.save(tmp_path / 'turned.png', exif=turned)
    assert np.allclose(feature(inferencer, tmp_path / 'turned.png'), feature(inferencer, colour.rotate(-90)), atol=1e-5)
    assert 'range is not known' in inferencer.features(Image.new('F', (8, 8)))['error']
    assert np.isfinite(feature(inferencer, picture(3, 1, 200))).all()


def test_videos_of_every_kind(tmp_path, inferencer):
    plain = write_video(tmp_path / 'plain.mp4', 12)
    expected = feature(inferencer, plain)
    # As long as the frames, one by one, are the same, it does not matter when they are shown.
    write_video(tmp_path / 'pauses.mkv', 12, times_ms=irregular_times(12))
    assert np.allclose(feature(inferencer, tmp_path / 'pauses.mkv'), expected, atol=0.05)
    frames, upright = (
        inferencer.preparation(read_visuals(path)[0][0])['inputs']['video']
        for path in (write_rotated(tmp_path / 'turned.mp4', 90), write_video(tmp_path / 'upright.mp4'))
    )
    assert (frames.float() - upright.rot90(-1, (2, 3)).float()).abs().mean() < 10
    write_video(tmp_path / 'odd.mp4', 5, height=35, width=53, pixel_format='yuv444p')
    assert np.isfinite(feature(inferencer, tmp_path / 'odd.mp4')).all()
    write_video(tmp_path / 'alpha.webm', 5, codec='libvpx-vp9', pixel_format='yuva420p')
    with av.open(str(tmp_path / 'alpha.webm')) as container:
        assert container.streams.video[0].metadata.get('alpha_mode') == '1'
    assert np.isfinite(feature(inferencer, tmp_path / 'alpha.webm')).all()
    write_video(tmp_path / 'one.mp4', 1)
    assert np.isfinite(feature(inferencer, tmp_path / 'one.mp4')).all()
    write_sound(tmp_path / 'sound.mp4')
    assert 'error' in inferencer.caption(tmp_path / 'sound.mp4')
    (tmp_path / 'cut.mp4').write_bytes(plain.read_bytes()[:-300])
    assert 'cut short' in inferencer.caption(tmp_path / 'cut.mp4')['error']
    (tmp_path / 'empty.mp4').write_bytes(b'')
    assert inferencer.caption(tmp_path / 'empty.mp4')['error'] == 'the file is empty'


def test_arrays_and_frames_that_are_none(inferencer):
    big, small = np.zeros((40, 40, 3), np.uint8), np.zeros((30, 30, 3), np.uint8)
    for x, message in [
        (np.zeros((0, 8, 8, 3), np.uint8), 'it has no frames'),
        (np.zeros((8, 8, 3)), 'got float64 (8, 8, 3)'),
        (np.zeros((8, 8), np.uint8), 'must be uint8 (H, W, 3)'),
        (np.zeros((8, 8, 4), np.uint8), 'got uint8 (8, 8, 4)'),
        (np.zeros((2, 8, 8, 1), np.uint8), 'must be uint8 (T, H, W, 3)'),
        (np.array(3), 'got int64 ()'),
        ([], 'it has no frames'),
        ([big, small], 'equally large, got (H, W) [(30, 30), (40, 40)]'),
        ([big, 3], 'a frame is a int'),
        (['nowhere.png'], 'there is no such file'),
    ]:
        assert message in inferencer.features([x])[0]['error']
    assert 'error' in inferencer.features(np.zeros((2, 8, 8, 3), np.uint8), modality='image')


def test_urls(tmp_path, world, inferencer, monkeypatch):
    fsspec = pytest.importorskip('fsspec')
    memory = fsspec.filesystem('memory')
    memory.pipe_file('/a/picture.png', world.images[0].read_bytes())
    memory.pipe_file('/a/clip.mp4', world.videos[0].read_bytes())
    rows = inferencer.features(['memory://a/picture.png', 'memory://a/clip.mp4', 'memory://a/none.png'])
    assert np.array_equal(rows[0]['feature'], feature(inferencer, world.images[0]))
    assert np.array_equal(rows[1]['feature'], feature(inferencer, world.videos[0]))
    assert rows[0]['input'] == 'memory://a/picture.png' and 'cannot be fetched' in rows[2]['error']
    assert 'cannot be fetched' in inferencer.features('nothing://a.png')['error']
    # Without fsspec URLs are an error, and nothing else.
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name == 'fsspec':
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, 'fsspec')
    monkeypatch.setattr(builtins, '__import__', refuse)
    rows = inferencer.features(['memory://a/picture.png', world.images[0]])
    assert "pip install -e '.[remote]'" in rows[0]['error'] and 'feature' in rows[1]
