"""A small model on a CPU takes one thread; a large one, one elsewhere, and a person who says so are left alone."""

import pytest
import torch
from torch import nn

from omnivl.engine.threads import SMALL, choose_threads


@pytest.fixture
def threads(monkeypatch):
    """Four threads, as the process has them until they are set anew."""
    count = [4]
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: count[0])
    monkeypatch.setattr(torch, 'set_num_threads', lambda number: count.__setitem__(0, number))
    return count


def test_a_small_model_takes_one(threads):
    assert choose_threads(nn.Linear(1000, 1000)) == (
        'threads: 1 of 4, for a model of 1.0 M parameters; OMP_NUM_THREADS=N takes N'
    )
    assert threads == [1]
    assert choose_threads(nn.Linear(2, 2)) is None  # there is nothing to choose


@pytest.mark.parametrize(
    'model',
    [nn.Linear(1, SMALL, device='meta'), nn.Linear(2, 2, device='meta'), nn.Embedding(SMALL // 8 + 1, 8)],
    ids=['large elsewhere', 'small elsewhere', 'large'],
)
def test_others_keep_theirs(threads, model):
    assert choose_threads(model) is None and threads == [4]


def test_a_number_that_was_given_stays(threads, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '2')
    assert choose_threads(nn.Linear(2, 2)) is None and threads == [4]
