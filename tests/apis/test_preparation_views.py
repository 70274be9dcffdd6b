import numpy as np
import torch
from transform_toys import write_video

from omnivl.apis.inputs import read_visuals
from omnivl.apis.preparation import Preparation
from omnivl.datasets.transforms import CenterCrop, LoadVideo, PackSample, Resize, ThreeCrop


def prepare(visual, *steps):
    item = Preparation({'video': [*steps, PackSample()]}, (32, 32))(read_visuals(visual)[0][0])
    assert 'num_views' not in item['data_samples']
    assert torch.isfinite(item['pts_seconds']['video']).all() == isinstance(visual, str)  # only files have times
    return item['inputs']['video']


def test_several_views_become_the_middle_one(tmp_path):
    """What the model gets of a clip is as long and as large as in training, from files and from memory."""
    resize = Resize(32, keep_ratio=True)
    views = [LoadVideo(4, num_clips=3), resize, ThreeCrop(32)]
    single = [LoadVideo(4), resize, CenterCrop(32)]
    noise = np.random.default_rng(0).integers(0, 256, (9, 40, 50, 3), np.uint8)
    for visual in (str(write_video(tmp_path / 'a.mp4')), noise):
        inputs = prepare(visual, *views)
        assert inputs.shape == (4, 3, 32, 32) and (inputs == prepare(visual, *single)).all()
    assert views[0].num_clips == 3  # the pipeline itself is left as it was
