"""A small world of files, made once, and an inferencer for it."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / 'datasets' / 'transforms'))  # transform_toys
sys.path.insert(0, str(Path(__file__).parents[1] / 'weights'))  # foreign
from api_world import World, picture, write_checkpoint, write_config, write_files

CACHE: dict[str, World] = {}


@pytest.fixture
def world(tiny_config, tmp_path_factory):
    """The files, the config and the checkpoint; made once."""
    if 'world' not in CACHE:
        root = tmp_path_factory.mktemp('world')
        images, videos = write_files(root)
        model = tiny_config()
        config = write_config(root, model)
        CACHE['world'] = World(root, config, write_checkpoint(root / 'model.pth', model), images, videos)
    return CACHE['world']


@pytest.fixture
def inferencer(world):
    return world.inferencer(batch_size=4)


@pytest.fixture
def mixture(world):
    """Everything an input may be, in one list: sizes, lengths and kinds mixed."""
    clip = [picture(seed, 40, 44) for seed in range(6)]
    return [
        world.images[1],
        str(world.videos[0]),
        np.asarray(picture(20, 50, 39)),
        world.videos[1],
        picture(21, 33, 64),
        clip,
        world.images[2],
        np.stack([np.asarray(frame) for frame in clip[:2]]),
        world.videos[2],
    ]
