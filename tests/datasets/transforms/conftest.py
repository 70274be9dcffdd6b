"""Fixtures of the transforms: one video file of each kind that is hard to decode."""

import pytest
from transform_toys import irregular_times, write_rotated, write_trimmed, write_video


@pytest.fixture(scope='session')
def video_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('videos')
    write_video(folder / 'b_frames.mp4', options={'bf': '3', 'g': '12'})
    write_video(folder / 'open_gop.mp4', options={'x264-params': 'open-gop=1:keyint=10:bframes=3'})
    write_video(folder / 'odd.mp4', height=49, width=67, pixel_format='yuv444p', options={'bf': '2'})
    write_video(folder / 'narrow.mp4', height=40, width=16)
    write_video(folder / 'variable_rate.mp4', times_ms=irregular_times(40), options={'bf': '2', 'g': '10'})
    write_video(folder / 'matroska.mkv', options={'bf': '3', 'g': '10'})
    write_video(folder / 'mpeg4.avi', codec='mpeg4')
    write_video(folder / 'vp9.webm', codec='libvpx-vp9', options={'deadline': 'realtime', 'cpu-used': '8'})
    write_video(folder / 'one.mp4', num_frames=1)
    write_trimmed(folder / 'trimmed.mp4', hidden=7)
    for degrees in (90, 180, 270):
        write_rotated(folder / f'rotated_{degrees}.mp4', degrees)
    return folder
