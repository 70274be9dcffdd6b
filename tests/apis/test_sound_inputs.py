"""What is handed to an inferencer may sound: files of sound, clips with theirs; clips in memory have none."""

import sys
from pathlib import Path

import numpy as np
import torch

from omnivl.apis.inputs import read_visuals
from omnivl.apis.loading import modality_of
from omnivl.apis.preparation import Preparation
from omnivl.datasets.transforms import LoadAudio, LoadSoundtrack, LoadVideo, PackSample

sys.path.insert(0, str(Path(__file__).parents[1] / 'datasets' / 'transforms'))
from sound_toys import rising, write_sound


def test_sounds_and_clips_with_theirs(tmp_path):
    write_sound(tmp_path / 'clip.mp4', rising(2.0, 16000), 16000, 'aac', None, 20)
    write_sound(tmp_path / 'tone.wav', rising(1.0, 16000), 16000)
    pipelines = dict(
        video=[LoadVideo(4), LoadSoundtrack(2.0), PackSample(['audio'])], audio=[LoadAudio(0.5), PackSample()]
    )
    assert [modality_of(steps) for steps in pipelines.values()] == ['video', 'audio']
    prepare = Preparation(pipelines, size=(32, 32))
    (clip, tone), _ = read_visuals(tmp_path)
    seen = prepare(clip)
    assert seen['inputs']['video'].shape == (4, 3, 32, 32) and seen['inputs']['audio'].shape == (32000,)
    assert seen['inputs']['audio'].isnan().float().mean() < 0.05
    heard = prepare(tone)
    assert list(heard['inputs']) == ['audio'] and heard['inputs']['audio'].shape == (8000,)
    assert torch.allclose(heard['inputs']['audio'], torch.from_numpy(rising(0.5, 16000, 0.25)), atol=1e-4)
    (visual,), _ = read_visuals(np.zeros((6, 32, 32, 3), np.uint8))
    in_memory = prepare(visual)
    assert in_memory['inputs']['video'].shape == (4, 3, 32, 32) and in_memory['inputs']['audio'].isnan().all()
