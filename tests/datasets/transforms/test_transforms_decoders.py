import gc
import pickle
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from transform_toys import (
    build_or_skip,
    irregular_times,
    numbered_frame,
    read_number,
    write_rotated,
    write_sound,
    write_video,
)

from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.transforms import LoadVideo, VideoDecoder, build_decoder, decoders
from omnivl.datasets.transforms.containers import missing_part
from omnivl.datasets.transforms.decoders import reduced, reported_as_broken
from omnivl.errors import OmniVLImportError

BACKENDS = ['decord', 'pyav', 'opencv', 'torchcodec']
UPRIGHT = {
    'b_frames.mp4': range(40),
    'open_gop.mp4': range(40),
    'odd.mp4': range(40),
    'narrow.mp4': range(40),
    'variable_rate.mp4': range(40),
    'matroska.mkv': range(40),
    'mpeg4.avi': range(40),
    'vp9.webm': range(40),
    'one.mp4': range(1),
    'trimmed.mp4': range(7, 40),
}


@pytest.fixture(params=BACKENDS)
def decoder(request):
    return build_or_skip(request.param)


@pytest.mark.parametrize('name', UPRIGHT)
def test_frames_are_counted_and_found_exactly(decoder, video_folder, name):
    rng = np.random.default_rng(0)
    path, numbers = str(video_folder / name), np.array(UPRIGHT[name])
    with decoder.open(path) as video:
        assert video.num_frames == len(numbers)
        assert [read_number(frame) for frame in video.frames(np.arange(video.num_frames))] == numbers.tolist()
    for _ in range(3):
        with decoder.open(path) as video:
            for _ in range(2):  # forwards, backwards, with repeats, and once more on the same reader
                indices = rng.integers(len(numbers), size=6)
                assert [read_number(frame) for frame in video.frames(indices)] == numbers[indices].tolist()


def available():
    """The decoders that load here; PyAV and OpenCV always do."""
    for backend in BACKENDS:
        with suppress(OmniVLImportError):
            yield build_decoder(backend)


@pytest.mark.parametrize('short_side', [None, 20])
@pytest.mark.parametrize('name', [*UPRIGHT, 'rotated_90.mp4', 'rotated_180.mp4', 'rotated_270.mp4'])
def test_decoders_agree(video_folder, name, short_side):
    frames, times, rates = [], [], []
    for decoder in available():
        with decoder.open(str(video_folder / name), short_side) as video:
            frames.append(video.frames(np.arange(video.num_frames)))
            times.append(video.times)
            rates.append(video.fps)
    assert len(frames) >= 2 and (short_side is None or min(frames[0].shape[1:3]) <= short_side)
    for other in range(1, len(frames)):
        assert frames[0].shape == frames[other].shape
        assert np.abs(frames[0].astype(int) - frames[other]).max() <= 1
        assert np.allclose(times[0], times[other], atol=2e-3)
        assert rates[0] == pytest.approx(rates[other], rel=1e-3)


def test_a_decoder_that_does_not_load_says_what_it_needs(monkeypatch):
    def fail(name):
        raise RuntimeError('Could not load libtorchcodec. Likely causes:\n  1. FFmpeg is not there')

    monkeypatch.setattr(decoders.importlib, 'import_module', fail)
    message = r"'torchcodec' cannot be imported \(Could not .* causes:\); install 'torchcodec' and FFmpeg's shared lib"
    with pytest.raises(OmniVLImportError, match=message) as caught:
        build_decoder('torchcodec')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(('degrees', 'turns'), [(90, -1), (180, 2), (270, 1)])
def test_rotation_is_that_of_the_display(decoder, video_folder, degrees, turns):
    with decoder.open(str(video_folder / f'rotated_{degrees}.mp4')) as video:
        frame = video.frames(np.array([5]))[0]
    upright = np.rot90(numbered_frame(5, 48, 64), turns)
    assert frame.shape == upright.shape
    assert np.abs(frame.astype(int) - upright).mean() < 8


def test_times_of_a_variable_frame_rate(decoder, video_folder):
    expected = irregular_times(40) / 1000
    with decoder.open(str(video_folder / 'variable_rate.mp4')) as video:
        assert np.allclose(video.times, expected, atol=2e-3)
        for start, end in ((0.0, 1.0), (0.7, 1.9), (2.0, 2.05), (0.06, 0.07)):
            inside = np.flatnonzero((expected >= start) & (expected < end))
            first, count = video.window((start, end))
            if len(inside):
                assert (first, count) == (inside[0], len(inside))
            else:
                assert count == 1
        assert video.window(None) == (0, 40)


@pytest.mark.parametrize('clip', [(100.0, 101.0), (1.0, 0.5), (-1.0, 1.0)])
def test_clip_outside_the_video_is_broken(decoder, video_folder, clip):
    with (
        decoder.open(str(video_folder / 'b_frames.mp4')) as video,
        pytest.raises(BrokenVisualError, match=r'clip .* (outside the video of 1\.60 s|no span of time)'),
    ):
        video.window(clip)


def test_reduced_frames_are_the_scaled_frames(decoder, video_folder):
    for name, size in (('b_frames.mp4', (24, 32)), ('rotated_90.mp4', (32, 24)), ('b_frames.mp4', (48, 64))):
        with decoder.open(str(video_folder / name), short_side=min(size)) as video:
            small = video.frames(np.array([3, 17]))
        with decoder.open(str(video_folder / name)) as video:
            full = video.frames(np.array([3, 17]))
        assert small.shape == (2, *size, 3)
        step = full.shape[1] // size[0]
        blocks = full.reshape(2, size[0], step, size[1], step, 3).mean(axis=(2, 4))
        assert np.abs(small - blocks).mean() < 8


def test_reducing_keeps_proportions_and_never_enlarges():
    wide, tall = np.zeros((480, 640, 3), np.uint8), np.zeros((640, 480, 3), np.uint8)
    assert reduced(wide, None) is wide and reduced(wide, 480) is wide and reduced(wide, 900) is wide
    assert reduced(wide, 240).shape == (240, 320, 3) and reduced(tall, 240).shape == (320, 240, 3)


def test_index_out_of_range(decoder, video_folder):
    with (
        decoder.open(str(video_folder / 'b_frames.mp4')) as video,
        pytest.raises(IndexError, match='has frames 0 to 39, asked for'),
    ):
        video.frames(np.array([0, 40]))


BROKEN = {
    'missing.mp4': 'there is no such file',
    'empty.mp4': 'the file is empty',
    'folder.mp4': 'it is a folder',
    'text.mp4': 'video stream|cannot open it',
    'sound.mp4': 'video|cannot open it',
    'cut.mp4': 'cut short: its mdat box ends at byte',
    'cut_faststart.mp4': 'cut short: its mdat box ends at byte',
    'cut_at_moov.mp4': 'cut short: it has no moov box',
    'cut.mkv': 'cut short: its segment ends at byte',
    'cut_head.mkv': 'cut short inside its first element',
    'cut.webm': 'cut short: its segment ends at byte',
    'cut.avi': 'cut short: the AVI list ends at byte',
}


@pytest.fixture(scope='module')
def broken_folder(tmp_path_factory, video_folder):
    folder = tmp_path_factory.mktemp('broken')
    (folder / 'empty.mp4').touch()
    (folder / 'folder.mp4').mkdir()
    (folder / 'text.mp4').write_text('no video at all ' * 100)
    write_sound(folder / 'sound.mp4')
    whole = (video_folder / 'b_frames.mp4').read_bytes()
    (folder / 'cut.mp4').write_bytes(whole[: len(whole) // 2])
    (folder / 'cut_at_moov.mp4').write_bytes(whole[: whole.find(b'moov') - 4])
    front = write_video(folder / 'front.mp4', container_options={'movflags': 'faststart'}).read_bytes()
    (folder / 'cut_faststart.mp4').write_bytes(front[: len(front) - 100])
    (folder / 'cut_head.mkv').write_bytes((video_folder / 'matroska.mkv').read_bytes()[:4])
    for source, target in (('matroska.mkv', 'cut.mkv'), ('vp9.webm', 'cut.webm'), ('mpeg4.avi', 'cut.avi')):
        data = (video_folder / source).read_bytes()
        (folder / target).write_bytes(data[: len(data) * 2 // 3])
    return folder


@pytest.mark.parametrize('name', BROKEN)
@pytest.mark.parametrize('backend', [*BACKENDS, 'auto'])
def test_broken_files_say_so(backend, broken_folder, name):
    transform = LoadVideo(4, decoder=build_or_skip(backend))
    with pytest.raises(BrokenVisualError, match=BROKEN[name]) as raised:
        transform({'visual': str(broken_folder / name)})
    assert raised.value.path == str(broken_folder / name)


@pytest.mark.parametrize('backend', ['decord', 'pyav'])
def test_damage_inside_a_file_is_found_when_it_is_reached(backend, video_folder, tmp_path):
    data = bytearray((video_folder / 'b_frames.mp4').read_bytes())
    start = data.find(b'mdat') + 4
    data[start + 600 : start + 1600] = bytes(1000)
    (tmp_path / 'damaged.mp4').write_bytes(data)
    with pytest.raises(BrokenVisualError, match=r'cannot be decoded|is missing'):
        LoadVideo(40, decoder=build_or_skip(backend))({'visual': str(tmp_path / 'damaged.mp4')})


def test_whole_files_lack_nothing(video_folder, tmp_path):
    for file in video_folder.iterdir():
        assert missing_part(str(file)) is None
    # Stray bytes behind the last box are common and harmless; so is a last box that says 'up to the end of the file'.
    data = (video_folder / 'b_frames.mp4').read_bytes()
    (tmp_path / 'stray.mp4').write_bytes(data + b'\x01\x02\x03\x04junk')
    (tmp_path / 'zeros.mp4').write_bytes(data + bytes(64))
    assert missing_part(str(tmp_path / 'stray.mp4')) is None
    assert missing_part(str(tmp_path / 'zeros.mp4')) is None
    large = bytearray(data)
    at = large.find(b'mdat') - 4
    assert large[at - 8 + 4 : at] == b'free'  # the writer leaves room for a 64-bit size
    length = int.from_bytes(large[at : at + 4], 'big')
    large[at - 8 : at + 8] = (1).to_bytes(4, 'big') + b'mdat' + (length + 8).to_bytes(8, 'big')
    (tmp_path / 'large.mp4').write_bytes(large)
    assert missing_part(str(tmp_path / 'large.mp4')) is None
    (tmp_path / 'large_cut.mp4').write_bytes(large[: at + 40])
    assert 'its mdat box ends at byte' in missing_part(str(tmp_path / 'large_cut.mp4'))


def test_transport_streams_need_pyav(tmp_path):
    path = str(write_video(tmp_path / 'stream.ts', options={'bf': '3', 'g': '10'}))
    with pytest.raises(BrokenVisualError, match="decord loses frames of MPEG-TS; set LoadVideo's decoder to 'pyav'"):
        build_or_skip('decord').open(path)
    for backend in ('pyav', 'opencv', 'auto'):
        with build_decoder(backend).open(path) as video:
            indices = np.array([0, 12, 25, 39])
            assert [read_number(frame) for frame in video.frames(indices)] == indices.tolist()


def test_auto_takes_the_first_that_is_installed(monkeypatch, video_folder):
    decoders._installed.cache_clear()
    for name in decoders.AUTO_ORDER:
        monkeypatch.setitem(decoders.MODULES, name, 'json')  # any module that is there
    order = [type(decoder).__name__ for decoder in build_decoder('auto').decoders]
    assert order == ['PyAVDecoder', 'TorchCodecDecoder', 'DecordDecoder', 'OpenCVDecoder']
    decoders._installed.cache_clear()
    for name in ('decord', 'torchcodec'):
        monkeypatch.setitem(decoders.MODULES, name, 'a_module_that_is_not_there')
    monkeypatch.setitem(decoders.MODULES, 'pyav', 'another_module_that_is_not_there')
    assert [type(decoder).__name__ for decoder in build_decoder('auto').decoders] == ['OpenCVDecoder']
    with pytest.raises(ImportError, match=r"video decoder 'decord' cannot be imported .* install 'a_module"):
        build_decoder('decord')
    monkeypatch.setitem(decoders.MODULES, 'opencv', 'a_third_one')
    decoders._installed.cache_clear()
    with pytest.raises(ImportError, match=r'none of the video decoders .* pip install av'):
        build_decoder('auto')
    decoders._installed.cache_clear()


def test_unknown_decoder():
    with pytest.raises(ValueError, match=r"no video decoder 'ffmpeg'; LoadVideo's decoder is one of .*'decord'"):
        LoadVideo(8, decoder='ffmpeg')


def test_decoders_travel_to_workers_and_leave_no_file_open(decoder, video_folder, tmp_path):
    again = pickle.loads(pickle.dumps(decoder))
    assert isinstance(again, VideoDecoder)
    path = tmp_path / 'copy.mp4'
    shutil.copy(video_folder / 'b_frames.mp4', path)
    for _ in range(3):
        with again.open(str(path)) as video:
            video.frames(np.array([1, 2]))
    gc.collect()
    links = Path('/proc/self/fd')
    if links.is_dir():
        assert path.resolve() not in [link.resolve() for link in links.iterdir()]


def test_bad_files_print_nothing(video_folder, broken_folder, capfd):
    for backend in ('pyav', 'opencv'):
        for name in ('text.mp4', 'cut_faststart.mp4', 'sound.mp4'):
            with pytest.raises(BrokenVisualError):
                LoadVideo(4, decoder=backend)({'visual': str(broken_folder / name)})
    with pytest.raises(BrokenVisualError):
        LoadVideo(4, decoder=build_or_skip('decord'))({'visual': str(broken_folder / 'cut_faststart.mp4')})
    assert capfd.readouterr().err == ''


def test_rotation_and_reduction_together(decoder, tmp_path):
    path = write_rotated(tmp_path / 'turned.mp4', 270)
    with decoder.open(str(path), short_side=24) as video:
        assert video.frames(np.array([0])).shape == (1, 32, 24, 3)


@pytest.mark.parametrize('name', ['variable_rate.mp4', 'matroska.mkv', 'trimmed.mp4'])
@pytest.mark.parametrize('random', [False, True])
def test_frames_carry_the_time_at_which_they_are_shown(decoder, video_folder, name, random):
    shown = irregular_times(40) / 1000 if name == 'variable_rate.mp4' else np.arange(40) / 25
    results = {'visual': str(video_folder / name), 'rng': np.random.default_rng(0), 'clip': (0.0, 1.4)}
    loaded = LoadVideo(6, random=random, decoder=decoder)(results)
    numbers = [read_number(frame) for frame in loaded['frames']]
    times = loaded['pts_seconds']
    assert times.dtype == np.float32 and times.shape == (6,)
    # Counted from the first frame on display, which an edit list may have moved; Matroska rounds to 1 ms.
    assert np.allclose(times, shown[numbers] - shown[UPRIGHT[name][0]], atol=5e-4)


@pytest.mark.parametrize('error', [StopIteration(), OSError('bad bytes\nstack'), SyntaxError('no header')])
def test_whatever_a_library_raises_is_a_broken_file(error):
    with pytest.raises(BrokenVisualError, match=r'clip\.mp4: no frames: (StopIteration|bad bytes|no header)$'):  # noqa: SIM117
        with reported_as_broken('clip.mp4', 'no frames'):
            raise error
    with pytest.raises(KeyboardInterrupt), reported_as_broken('clip.mp4', 'no frames'):
        raise KeyboardInterrupt
