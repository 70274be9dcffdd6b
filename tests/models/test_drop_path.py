import pytest
import torch

from omnivl.models.layers import make_drop_path


def test_whole_samples_are_dropped_and_the_mean_stays():
    torch.manual_seed(0)
    branch = torch.rand(4000, 3, 2) + 1
    dropped = make_drop_path(0.25)(branch)
    kept = (dropped != 0).flatten(1)
    assert (kept.all(1) | ~kept.any(1)).all()
    assert kept[:, 0].float().mean().item() == pytest.approx(0.75, abs=0.03)
    torch.testing.assert_close(dropped[kept[:, 0]], branch[kept[:, 0]] / 0.75)


def test_nothing_is_dropped_where_a_model_is_used():
    branch = torch.rand(8, 3)
    assert torch.equal(make_drop_path(0.9).eval()(branch), branch)
