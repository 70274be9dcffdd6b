"""Sound of real files: the right moments, resampled, of one channel; cropped, padded, missing, broken."""

import http.server
import threading
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from sound_toys import rising, write_sound
from transform_toys import write_video

from omnivl.datasets import BrokenVisualError
from omnivl.datasets.transforms import LoadAudio, LoadSoundtrack, LoadVideo, sounds
from omnivl.datasets.transforms.containers import CONTAINERS
from omnivl.datasets.transforms.sounds import SOUND_CODECS, SOUND_CONTAINERS, sound_container_of
from omnivl.errors import OmniVLValueError
from omnivl.structures import AUDIO

RATE = 16000
# Suffix -> codec, FFmpeg's name of the container, and how much a sample may be off.
FORMATS = {
    '.wav': ('pcm_s16le', 'wav', 1e-4),
    '.flac': ('flac', 'flac', 1e-4),
    '.mp3': ('mp3', 'mp3', 0.03),
    '.m4a': ('aac', 'mp4', 0.03),
    '.mp4': ('aac', 'mp4', 0.03),
    '.opus': ('libopus', 'ogg', 0.06),
    '.mka': ('pcm_s24le', 'matroska', 0.05),  # its stamps are rounded to 1 ms, which is evened out
}


def load(path, clip=None, **options):
    return LoadAudio(**options)({'visual': str(path), 'clip': clip, 'rng': np.random.default_rng(0)})['waveform']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('sounds')


@pytest.mark.parametrize('suffix', FORMATS)
def test_a_segment_is_what_is_heard_then(folder, suffix):
    codec, kind, error = FORMATS[suffix]
    if codec not in av.codecs_available:
        pytest.skip(f'this FFmpeg cannot write {codec}')
    rate = 48000 if codec == 'libopus' else 44100
    tone = rising(3.0, rate)
    path = write_sound(folder / f'tone{suffix}', [tone, 0.5 * tone], rate, codec, kind, 30 if suffix == '.mp4' else 0)
    assert sound_container_of(Path(path).read_bytes()[:200]) in {**SOUND_CONTAINERS, **CONTAINERS}
    whole, part = load(path), load(path, (1.5, 2.5))
    assert part.dtype == np.float32 and part.shape == (RATE,) and abs(len(whole) - 3 * RATE) < 0.05 * RATE
    # Two channels, one at half the volume, are one at three quarters.
    assert np.abs(part - 0.75 * rising(1.0, RATE, 1.5)).max() < error
    assert np.abs(whole[24000:40000] - part).max() < 1e-4
    assert suffix in AUDIO.suffixes or suffix == '.mp4'


@pytest.mark.parametrize('rate', [8000, 11025, 16000, 22050, 32000, 44100, 48000])
def test_any_rate_becomes_the_one_asked_for(tmp_path, rate):
    path = write_sound(tmp_path / 'tone.wav', rising(1.0, rate), rate, 'pcm_f32le')
    for wanted in (8000, 16000, 44100):
        part = load(path, (0.2, 0.7), rate=wanted)
        assert part.shape == (wanted // 2,)
        assert np.abs(part - rising(0.5, wanted, 0.2)).max() < 2e-3


@pytest.mark.parametrize(
    'codec', ['pcm_u8', 'pcm_s16le', 'pcm_s24le', 'pcm_s32le', 'pcm_f32le', 'pcm_f64le', 'pcm_mulaw']
)
def test_every_kind_of_sample_is_scaled_to_one(tmp_path, codec):
    path = write_sound(tmp_path / 'tone.wav', rising(0.2, RATE), RATE, codec)
    assert np.abs(load(path) - rising(0.2, RATE)).max() < (0.02 if codec in ('pcm_u8', 'pcm_mulaw') else 1e-4)


def test_longer_and_shorter_than_asked(tmp_path):
    path = write_sound(tmp_path / 'tone.wav', rising(2.0, RATE), RATE)
    middle = load(path, seconds=1.0)
    assert np.abs(middle - rising(1.0, RATE, 0.5)).max() < 1e-4
    draws = [
        LoadAudio(1.0, random=True)({'visual': path, 'rng': np.random.default_rng(seed)})['waveform']
        for seed in (3, 3, 4)
    ]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])
    start = round(np.random.default_rng(3).random() * RATE) / RATE  # to the next sample
    assert np.abs(draws[0] - rising(1.0, RATE, start)).max() < 1e-3
    padded = load(path, seconds=3.0)
    assert padded.shape == (3 * RATE,) and np.isnan(padded[2 * RATE :]).all() and not np.isnan(padded[: 2 * RATE]).any()
    clip = load(path, (1.5, 9.0), seconds=1.0)
    assert np.abs(clip[: RATE // 2] - rising(0.5, RATE, 1.5)).max() < 1e-4 and np.isnan(clip[RATE // 2 :]).all()


def test_the_sound_of_the_frames_that_were_chosen(tmp_path):
    path = write_sound(tmp_path / 'clip.mp4', rising(4.0, 44100), 44100, 'aac', None, 40)
    results = LoadVideo(5)({'visual': path, 'clip': (1.0, 2.0)})
    assert np.allclose(results['pts_seconds'], [1.1, 1.3, 1.5, 1.7, 1.9])
    waveform = LoadSoundtrack()(dict(results))['waveform']
    assert waveform.shape == (RATE,) and np.abs(waveform - rising(1.0, RATE, 1.0)).max() < 0.03
    cropped = LoadSoundtrack(0.5)(dict(results))['waveform']
    assert np.array_equal(cropped, waveform[RATE // 4 : RATE // 4 + RATE // 2])
    one = LoadSoundtrack(0.5)(LoadVideo(1)({'visual': path, 'clip': (1.0, 2.0)}))['waveform']
    assert np.abs(one - rising(0.5, RATE, 1.25)).max() < 0.05  # the frame of 1.5 s is in its middle
    views = LoadSoundtrack()(LoadVideo(2, num_clips=2)({'visual': path}))['waveform']
    assert len(views) == 4 * RATE and np.isnan(views).mean() < 0.02


def test_times_count_from_the_first_frame(tmp_path):
    # The video begins at 1.0 s of the file, the sound at 1.5 s.
    path = write_sound(
        tmp_path / 'late.mkv', rising(1.0, 44100), 44100, 'pcm_s16le', None, 20, first_frame=10, delay=1.5
    )
    waveform = LoadSoundtrack()(LoadVideo(10)({'visual': path}))['waveform']
    real = ~np.isnan(waveform)
    first, last = np.flatnonzero(real)[[0, -1]] / RATE
    assert abs(first - 0.5) < 2e-3 and abs(last - 1.5) < 2e-3 and real.mean() == pytest.approx(0.5, abs=0.01)
    assert np.abs(waveform[12000:20000] - rising(0.5, RATE, 0.25)).max() < 0.06


def test_what_has_no_sound(tmp_path):
    silent = str(write_video(tmp_path / 'silent.mp4', num_frames=10))
    waveform = LoadSoundtrack(0.5)(LoadVideo(2)({'visual': silent}))['waveform']
    assert waveform.shape == (RATE // 2,) and np.isnan(waveform).all()
    in_memory = {'visual': '#0', 'frames': np.zeros((2, 8, 8, 3), np.uint8)}
    assert np.isnan(LoadSoundtrack(0.5)(in_memory)['waveform']).all()
    assert LoadSoundtrack()({'visual': '#0'})['waveform'].shape == (0,)
    with pytest.raises(BrokenVisualError, match='it has no audio stream'):
        load(silent)


def test_broken_sound(tmp_path):
    path = Path(write_sound(tmp_path / 'tone.wav', rising(2.0, RATE), RATE))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BrokenVisualError, match='the WAV ends at byte 64'):
        load(path)
    # A Matroska that does not tell its size, as a stream is written, but how long it is.
    mka = Path(write_sound(tmp_path / 'tone.mka', rising(2.0, RATE), RATE))
    data = bytearray(mka.read_bytes())
    segment = data.index(b'\x18\x53\x80\x67') + 4
    data[segment : segment + 8] = b'\x01' + b'\xff' * 7
    mka.write_bytes(data[: len(data) // 2])
    with pytest.raises(
        BrokenVisualError, match=r'cut short: it ends at (0\.9|1\.0)\d s, and at 2\.00 s by its container'
    ):
        load(mka)
    flac = Path(write_sound(tmp_path / 'tone.flac', rising(2.0, RATE), RATE, 'flac', 'flac'))
    data = flac.read_bytes()
    flac.write_bytes(data[: len(data) // 2])
    with pytest.raises(BrokenVisualError, match=r'its sound cannot be read: .*Invalid data'):
        load(flac)
    (tmp_path / 'empty.mp3').touch()
    (tmp_path / 'list.mp3').write_text('#EXTM3U\nfile:///etc/hostname\n')
    (tmp_path / 'noise.flac').write_bytes(b'fLaC' + np.random.default_rng(0).bytes(2000))
    for name, message in (
        ('empty.mp3', 'the file is empty'),
        ('list.mp3', 'it has no sound: its first bytes are of none of WAV, FLAC, MP3, AAC, MP4'),
        ('noise.flac', 'its sound cannot be read'),
        ('nothing.wav', 'there is no such file'),
    ):
        with pytest.raises(BrokenVisualError, match=message):
            load(tmp_path / name)


def test_limits(tmp_path, monkeypatch):
    path = write_sound(tmp_path / 'tone.wav', rising(2.0, RATE), RATE)
    with pytest.raises(BrokenVisualError, match=r'its sound is 2.0 s long, more than max_seconds=1 of LoadAudio'):
        load(path, max_seconds=1)
    assert len(load(path, max_seconds=1, seconds=0.5)) == RATE // 2  # a crop counts
    for clip, message in (((3.0, 4.0), 'lies outside the sound of 2.00 s'), ((1.0, 1.0), 'is no span of time')):
        with pytest.raises(BrokenVisualError, match=message):
            load(path, clip)
    monkeypatch.setattr(sounds, 'MOST_RATE', 8000)
    with pytest.raises(BrokenVisualError, match=r'1 channels of 16000 Hz; allowed are 32 of 8000 Hz'):
        load(path)
    monkeypatch.setattr(sounds, 'SOUND_CODECS', SOUND_CODECS - {'pcm_s16le'})
    with pytest.raises(BrokenVisualError, match='the codec of its sound is pcm_s16le; allowed are aac'):
        load(path)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(seconds=0), 'seconds must be a positive number of seconds, got 0'),
        (dict(rate=1.5), 'rate must be a positive int'),
        (dict(seconds=5, max_seconds=2), 'seconds=5 is more than max_seconds=2'),
        (dict(remote=3), 'remote must be True, False or dict'),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(OmniVLValueError, match=f'LoadAudio: {message}'):
        LoadAudio(**options)


def test_sound_of_shards_and_of_servers(tmp_path):
    path = write_sound(tmp_path / 'tone.flac', rising(1.0, RATE), RATE, 'flac', 'flac')
    whole = load(path)
    content = Path(path).read_bytes()
    (tmp_path / 'shard.tar').write_bytes(b'skip' + content)
    assert np.array_equal(load(f'tar://tone.flac?4+{len(content)}::{tmp_path / "shard.tar"}'), whole)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *arguments: None
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}/tone.flac'
        with pytest.raises(BrokenVisualError, match=r'allow them with LoadAudio\(remote=True\)'):
            load(url)
        results = LoadAudio(remote=True)({'visual': url})
        server.shutdown()
    assert np.array_equal(results['waveform'], whole) and results['visual'] == url
