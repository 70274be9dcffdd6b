"""What a checkpoint holds beside the weights comes back as it was."""

import random

import numpy as np
import torch

from omnivl.engine.run_state import get_random_state, set_random_state
from omnivl.storage import load_checkpoint, save_checkpoint


def test_random_states_come_back_through_a_file(tmp_path):
    np.random.normal(), random.gauss(0, 1)  # leave half of a pair behind
    save_checkpoint(get_random_state(), tmp_path / 'a.pth')
    draw = lambda: (random.gauss(0, 1), random.random(), np.random.normal(), np.random.rand(), torch.rand(2).tolist())  # noqa: E731
    first = draw()
    set_random_state(load_checkpoint(tmp_path / 'a.pth'))
    assert draw() == first
