"""Checkpoints in parts: taken apart and put together, whole or not there."""

import threading

import pytest
import torch

from omnivl.storage import BrokenCheckpointError, load_checkpoint
from omnivl.storage.background import Writer
from omnivl.storage.checkpoint import load_last_checkpoint
from omnivl.storage.sharded import finish_parts, remove_checkpoint, save_part, temporary_folder
from omnivl.storage.tensor_shards import Parts, cut


def write(path, tensor, ranks=2):
    """Write a tensor by rows, as many for each rank, and another that the first rank has."""
    shared = torch.arange(3)
    value = dict(state_dict={'a.weight': tensor, 'b.weight': tensor, 'empty': torch.zeros(0, 2)}, place=[shared, 7])
    whole = cut(value, is_first=True)
    folder = temporary_folder(path, 'token')
    rows = -(-len(tensor) // ranks)
    for rank in reversed(range(ranks)):
        own = tensor[rank * rows : (rank + 1) * rows].clone()
        others = {key: item for key, item in whole.tensors.items() if rank == 0} | {'state_dict.a.weight': own}
        save_part(Parts(None, others, dict.fromkeys(others, 0) | {'state_dict.a.weight': rank * rows}), folder, rank)
    finish_parts(whole.frame, folder, path, ranks)
    return value


def test_what_is_taken_apart_comes_back_whole(tmp_path):
    tensor = torch.randn(5, 2)
    for _ in range(2):  # the second takes the place of the first
        value = write(tmp_path / 'iter_3.shards', tensor)
    found = load_checkpoint(tmp_path / 'iter_3.shards')
    for key, expected in value['state_dict'].items():
        assert torch.equal(found['state_dict'][key], expected) and found['state_dict'][key].dtype == expected.dtype
    assert found['state_dict']['a.weight'] is found['state_dict']['b.weight']
    assert torch.equal(found['place'][0], value['place'][0]) and found['place'][1] == 7
    assert [path.name for path in tmp_path.iterdir()] == ['iter_3.shards']


def test_a_checkpoint_without_the_part_of_a_rank_is_passed_over(tmp_path):
    for number in (1, 2, 3):
        write(tmp_path / f'iter_{number}.shards', torch.randn(5, 2))
    (tmp_path / 'iter_3.shards/rank_00001.safetensors').unlink()
    damaged = tmp_path / 'iter_2.shards/rank_00001.safetensors'
    damaged.write_bytes(damaged.read_bytes()[:-1] + b'!')
    with pytest.raises(BrokenCheckpointError, match='checksum'):
        load_checkpoint(tmp_path / 'iter_2.shards')
    path, _, problems = load_last_checkpoint(tmp_path)
    assert path == tmp_path / 'iter_1.shards' and len(problems) == 2
    remove_checkpoint(path)
    assert not path.exists()


def test_parts_that_do_not_add_up_are_refused(tmp_path):
    whole = cut(dict(weight=torch.randn(4, 2)), is_first=True)
    folder = temporary_folder(tmp_path / 'iter_1.shards', 'token')
    save_part(Parts(None, dict(weight=torch.randn(3, 2)), dict(weight=0)), folder, 0)
    finish_parts(whole.frame, folder, tmp_path / 'iter_1.shards', 1)
    with pytest.raises(BrokenCheckpointError, match=r'not whole: weight has the shape \[3, 2\] there, it was \[4, 2\]'):
        load_checkpoint(tmp_path / 'iter_1.shards')


def test_the_first_rank_waits_for_the_others_for_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr('omnivl.storage.sharded.PATIENCE', 0.05)
    with pytest.raises(RuntimeError, match=r'rank_00000.safetensors did not come into .* within 0.05 s'):
        finish_parts({}, tmp_path / 'missing', tmp_path / 'iter_1.shards', 1)
    assert not (tmp_path / 'iter_1.shards').exists()


def test_a_thread_writes_in_order_and_stops_at_an_error():
    writer, done, gate = Writer(in_thread=True), [], threading.Event()
    writer.do(gate.wait)
    writer.do(done.append, 1)
    assert not done  # the caller has gone on
    gate.set()
    writer.wait()
    writer.do(int, 'no number')
    writer.do(done.append, 2)
    with pytest.raises(ValueError, match='no number'):
        writer.wait()
    writer.do(done.append, 3)
    writer.wait()
    assert done == [1, 3]
