"""Pictures of sound: tones at their height, silence in the waveform, grey where there is none."""

import wave

import numpy as np
import torch

from omnivl.datasets import LabelDataset
from omnivl.datasets.transforms import LoadAudio, PackSample
from omnivl.visualization.pictures import draw_values
from omnivl.visualization.sheets import CARD, LINE
from omnivl.visualization.sounds import WIDTH
from omnivl.visualization.validation import draw_evaluation


def colour(name):
    return [int(name[at : at + 2], 16) for at in (1, 3, 5)]


def test_a_tone_is_where_it_belongs():
    times = np.arange(16000) / 16000
    low, high = (
        torch.from_numpy((0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)) for hertz in (1000, 6000)
    )
    strips = [np.asarray(strip).astype(int) for strip in draw_values([low, high], 'audio', 90)]
    assert [strip.shape for strip in strips] == [(90, WIDTH * 90, 3)] * 2
    # The spectrum takes the lower 60 rows, 8 kHz at its top, spaced by square roots.
    brightest = [30 + int(strip[30:, 135].sum(1).argmax()) for strip in strips]
    assert np.allclose(brightest, [89 - 59 * (hertz / 8000) ** 0.5 for hertz in (1000, 6000)], atol=2)
    # The waveform fills half of its height: amplitude 0.5.
    drawn = (strips[0][:30, 135] != colour(CARD)).any(1)
    assert 13 <= drawn.sum() <= 18 and not drawn[:6].any() and not drawn[24:].any()


def test_what_is_missing_is_grey():
    waveform = torch.zeros(1000)
    waveform[500:] = torch.nan
    (strip,) = draw_values([waveform], 'audio', 30)
    pixels = np.asarray(strip)
    assert (pixels[:, 46:] == colour(LINE)).all() and not (pixels[:, :44] == colour(LINE)).all(axis=2).any()
    (nothing,) = draw_values([torch.zeros(0)], 'audio', 30)
    assert (np.asarray(nothing) == colour(LINE)).all()


def test_a_validation_shows_sounds(tmp_path):
    (tmp_path / 'esc50.csv').write_text(
        'filename,fold,target,category,esc10\na.wav,1,0,dog,True\nb.wav,1,1,rain,True\n'
    )
    for name in ('a.wav', 'b.wav'):
        with wave.open(str(tmp_path / name), 'wb') as file:
            file.setparams((1, 2, 8000, 4000, 'NONE', ''))
            file.writeframes((9000 * np.sin(np.arange(4000) / 3)).astype(np.int16).tobytes())
    reader = dict(type='ESC50CSV', ann_file=str(tmp_path / 'esc50.csv'), visual_root=str(tmp_path))
    dataset = LabelDataset(reader, [LoadAudio(0.5, 8000), PackSample()], 'esc50')
    shared = dict(source='esc50', modality='audio', predicted='dog')
    rows = [shared | dict(sample_id=f'{name}.wav', label=label) for name, label in (('a', 'dog'), ('b', 'rain'))]
    sheet = draw_evaluation(dataset, rows, 2, 40, 'esc50')
    assert sheet.height > 40 and sheet.width > 2 * WIDTH * 40
