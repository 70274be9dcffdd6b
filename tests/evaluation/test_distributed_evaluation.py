"""Several processes find what one finds."""

import json

import pytest
import run_distributed_evaluation
from forked import run_ranks


def assert_close(one, other):
    """Equal but for the last bits of numbers: the batches of the visual encoder are not the same."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_close(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other):
            assert_close(left, right)
    else:
        assert one == (pytest.approx(other, abs=1e-4) if isinstance(one, float) else other)


def test_two_processes_find_what_one_finds(tiny_config, tmp_path):
    config = tmp_path / 'model.json'
    config.write_text(json.dumps(tiny_config(type='TrunkModel')))
    run_distributed_evaluation.main(str(config), str(tmp_path / 'one'))
    run_ranks(run_distributed_evaluation.main, str(config), str(tmp_path / 'two'))
    expected = json.loads((tmp_path / 'one-False-0.json').read_text())
    assert len(expected['retrieval']['predictions']) == 13
    for samples_twice in (False, True):
        for rank in (0, 1):
            assert_close(json.loads((tmp_path / f'two-{samples_twice}-{rank}.json').read_text()), expected)
