"""What no decoder is to see, pictures that are too large, and what decoders print."""

import os
import resource
from pathlib import Path

import av
import numpy as np
import pytest
from forked import run_program
from PIL import Image
from transform_toys import write_video

from omnivl.datasets import BrokenVisualError
from omnivl.datasets.transforms import LoadImage, LoadVideo, containers
from omnivl.datasets.transforms.chatter import heard
from omnivl.datasets.transforms.containers import CODECS, CONTAINERS, container_of
from omnivl.datasets.transforms.visual import Resize
from omnivl.structures import VIDEO

PLAYLISTS = {
    'hls': '#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n',
    'concat': "ffconcat version 1.0\nfile '/etc/hostname'\n",
    'sdp': 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n',
    'dash': '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>file:///etc/</BaseURL></MPD>',
}


@pytest.mark.parametrize('decoder', ['decord', 'pyav', 'opencv', 'auto'])
@pytest.mark.parametrize('name', PLAYLISTS)
def test_a_playlist_is_no_video_whatever_its_name(tmp_path, decoder, name):
    path = tmp_path / 'clip.mp4'
    path.write_text(PLAYLISTS[name])
    with pytest.raises(BrokenVisualError, match='its first bytes are of none of MP4/MOV/3GP, Matroska/WebM, AVI'):
        LoadVideo(2, decoder=decoder)({'visual': str(path)})


def test_no_decoder_sees_a_codec_that_is_not_listed(tmp_path, monkeypatch):
    path = str(write_video(tmp_path / 'clip.mp4', codec='mpeg4'))
    LoadVideo(2)({'visual': path})
    monkeypatch.setattr(containers, 'CODECS', CODECS - {'mpeg4'})
    with pytest.raises(BrokenVisualError, match='its codec is mpeg4; allowed are av1, '):
        LoadVideo(2)({'visual': path})


FORMATS = {
    '.mp4': ('mp4', 'libx264'), '.mov': ('mov', 'libx264'), '.3gp': ('3gp', 'mpeg4'), '.mkv': ('matroska', 'libx264'),
    '.webm': ('webm', 'libvpx-vp9'), '.avi': ('avi', 'mpeg4'), '.ts': ('mpegts', 'libx264'), '.flv': ('flv', 'flv'),
    '.mpg': ('mpeg', 'mpeg1video'), '.wmv': ('asf', 'wmv2'), '.ogv': ('ogg', 'libvpx'), '.gif': ('gif', 'gif'),
}  # fmt: skip


@pytest.mark.parametrize('suffix', FORMATS)
def test_every_container_that_is_listed_is_read(tmp_path, suffix):
    container, codec = FORMATS[suffix]
    if codec not in av.codecs_available:
        pytest.skip(f'this FFmpeg cannot write {codec}')
    path = tmp_path / f'clip{suffix}'
    with av.open(str(path), 'w', format=container) as opened:
        stream = opened.add_stream(codec, rate=25)
        stream.width, stream.height = 176, 144
        stream.pix_fmt = 'rgb8' if codec == 'gif' else 'yuv420p'
        for number in range(10):
            picture = np.full((144, 176, 3), 20 * number, np.uint8)
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        opened.mux(stream.encode())
    assert container_of(path.read_bytes()[:200]) in CONTAINERS
    assert LoadVideo(2, decoder='pyav')({'visual': str(path)})['frames'].shape == (2, 144, 176, 3)


def test_every_suffix_of_a_video_has_a_container():
    assert {*VIDEO.suffixes} - {*FORMATS} == {'.m4v', '.mpeg'}


@pytest.mark.parametrize('decoder', ['decord', 'pyav', 'opencv'])
def test_videos_over_the_limits_are_broken(tmp_path, decoder):
    path = write_video(tmp_path / 'clip.mp4', height=48, width=64)
    LoadVideo(2, decoder=decoder, max_pixels=48 * 64, max_side=64)({'visual': str(path)})
    for options in (dict(max_pixels=48 * 64 - 1), dict(max_side=63)):
        with pytest.raises(BrokenVisualError, match=r'it is 48 x 64 pixels .height x width., more than max_pixels='):
            LoadVideo(2, decoder=decoder, **options)({'visual': str(path)})
    data = bytearray(path.read_bytes())  # a container that lies; the codec's own header does not
    at = data.find(b'avc1', data.find(b'stsd')) + 4 + 24
    assert data[at : at + 4] == bytes([0, 64, 0, 48])
    data[at : at + 4] = bytes([0, 8, 0, 8])
    path.write_bytes(data)
    with pytest.raises(BrokenVisualError, match='it is 48 x 64 pixels'):
        LoadVideo(2, decoder=decoder, max_pixels=48 * 64 - 1)({'visual': str(path)})


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_images_over_the_limits_are_broken(tmp_path, backend, suffix):
    path = tmp_path / f'a{suffix}'
    Image.new('RGB', (30, 20)).save(path)
    LoadImage(backend, max_pixels=600, max_side=30)({'visual': str(path)})
    for options in (dict(max_pixels=599), dict(max_side=29)):
        with pytest.raises(BrokenVisualError, match=r'it is 20 x 30 pixels .* of LoadImage'):
            LoadImage(backend, **options)({'visual': str(path)})


def test_limits_are_positive():
    with pytest.raises(ValueError, match='LoadImage: max_pixels must be a positive int, got 0'):
        LoadImage(max_pixels=0)
    with pytest.raises(ValueError, match="LoadVideo: max_side must be a positive int, got '8k'"):
        LoadVideo(2, max_side='8k')


BOMBS = """
import resource, sys
from omnivl.datasets import BrokenVisualError
from omnivl.datasets.transforms import LoadImage
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    LoadImage()({'visual': sys.argv[1]})
except BrokenVisualError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_bomb_takes_no_memory(tmp_path):
    path = tmp_path / 'bomb.png'
    Image.new('1', (20000, 20000)).save(path)
    (tmp_path / 'bombs.py').write_text(BOMBS)
    code, said = run_program(tmp_path / 'bombs.py', path)
    reason, megabytes = said.splitlines()
    assert code == 0
    assert (
        reason.endswith(
            'it is 20000 x 20000 pixels (height x width), more than max_pixels=89478485 or max_side=32768 of LoadImage'
        )
        and int(megabytes) < 50
    )


def test_a_line_of_pixels_is_not_made_to_cover_a_square():
    results = {'visual': 'line.png', 'frames': np.zeros((1, 1, 20000, 3), np.uint8)}
    with pytest.raises(BrokenVisualError, match=r'line\.png: frames of 1 x 20000 are too long and narrow'):
        Resize(384, keep_ratio=True)(results)
    assert Resize(2, keep_ratio=True)(results)['frames'].shape == (1, 2, 40000, 3)


def test_what_a_decoder_prints_is_attached_to_its_file(capfd):
    with heard('good.jpg'):
        os.write(2, b'Corrupt JPEG data\nCorrupt JPEG data\nbad marker\n')
    assert capfd.readouterr().err == 'good.jpg: the decoder says: Corrupt JPEG data; bad marker\n'
    with pytest.raises(BrokenVisualError) as raised, heard('bad.mp4'):
        os.write(2, b'moov atom not found\n')
        raise BrokenVisualError('bad.mp4', 'it cannot be read')
    assert str(raised.value) == 'bad.mp4: it cannot be read (the decoder says: moov atom not found)'
    assert capfd.readouterr().err == ''
    with pytest.raises(KeyError), heard('other.mp4'):
        raise KeyError
    with heard('silent.jpg'):
        pass
    assert capfd.readouterr().err == ''


def test_hearing_leaves_no_file_open():
    def count():
        return len(list(Path('/proc/self/fd').iterdir()))

    with heard('a.jpg'):
        pass
    before = count()
    for _ in range(20):
        with heard('a.jpg'):
            os.write(2, b'x\n')
    assert count() == before and resource.getrlimit(resource.RLIMIT_NOFILE)[0] > before
