"""Checkpoint files: whole or not there, plain, and clear about what is wrong."""

import math
import os
import pickle
import re
import resource
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from omnivl.errors import OmniVLError, OmniVLRuntimeError
from omnivl.storage import BrokenCheckpointError, CheckpointError, LoadOptions, load_checkpoint, save_checkpoint
from omnivl.storage.checkpoint import (
    find_checkpoints,
    load_last_checkpoint,
    load_state_dict,
    save_weights,
    weights_of,
    write_last_checkpoint,
)
from omnivl.storage.files import atomic_write, remove_leftovers, write_json, write_text
from omnivl.storage.plain import not_finite_keys, to_plain


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.path}',)


def test_what_goes_in_comes_out(tmp_path):
    content = dict(
        number=1, real=0.1, text='a', nothing=None, flag=True, pair=(0.9, 0.98), items=[1, [2]], tensor=torch.rand(3)
    )
    save_checkpoint(content, tmp_path / 'a.pth')
    back = load_checkpoint(tmp_path / 'a.pth')
    tensor, expected = back.pop('tensor'), content.pop('tensor')
    assert back == content and torch.equal(tensor, expected)


def test_numpy_and_ordered_dicts_become_plain():
    plain = to_plain(OrderedDict(a=np.float32(0.5), b=np.arange(3), c=np.random.rand(2, 2)))
    assert type(plain) is dict and type(plain['a']) is float
    assert plain['b'].tolist() == [0, 1, 2] and plain['c'].dtype == torch.float64


def test_a_view_does_not_drag_its_storage_along(tmp_path):
    save_checkpoint(dict(part=torch.zeros(1_000_000)[:10]), tmp_path / 'a.pth')
    assert (tmp_path / 'a.pth').stat().st_size < 10_000


def test_objects_are_not_saved(tmp_path):
    with pytest.raises(
        TypeError, match=r'checkpoint\.hub\.loss is a mmengine.*HistoryBuffer, and a checkpoint holds plain'
    ):
        save_checkpoint(dict(hub=dict(loss=HistoryBuffer())), tmp_path / 'a.pth')
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(RuntimeError, match='disk'), atomic_write(path) as file:
        file.write(b'new')
        raise RuntimeError('disk')
    assert path.read_text() == 'old' and [entry.name for entry in tmp_path.iterdir()] == ['a.txt']


def test_written_files_have_the_usual_permissions(tmp_path):
    (tmp_path / 'plain').touch()
    write_json(tmp_path / 'deep/a.json', dict(a=np.float32(1), b=torch.ones(2)))
    assert (tmp_path / 'deep/a.json').stat().st_mode == (tmp_path / 'plain').stat().st_mode
    with pytest.raises(TypeError, match='object cannot be written as JSON'):
        write_json(tmp_path / 'b.json', object())


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    (tmp_path / '.iter_3.pth.abc.tmp').touch()
    (tmp_path / 'iter_3.pth').touch()
    assert remove_leftovers(tmp_path) == ['.iter_3.pth.abc.tmp']
    assert [path.name for path in tmp_path.iterdir()] == ['iter_3.pth']


@pytest.mark.parametrize('protocol', [True, False])  # the zip form of today, the bare pickle of old
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, protocol):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    torch.save(dict(state_dict=Payload(trace)), path, _use_new_zipfile_serialization=protocol)
    with pytest.raises(CheckpointError, match=r"evil.pth is refused: it asks for 'posix.system', and a pickle"):
        load_checkpoint(path)
    assert not trace.exists()


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('protocol', [2, 4, 5])
def test_a_pickle_that_torch_did_not_write_is_refused_without_advice_to_read_it(tmp_path, protocol):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    path.write_bytes(pickle.dumps(Payload(trace), protocol))
    with pytest.raises(CheckpointError, match=r'evil.pth is refused: it .*can run any code') as caught:
        load_checkpoint(path)
    assert 'weights_only' not in str(caught.value) and not trace.exists()


def test_a_checkpoint_of_mmengine_is_refused(tmp_path):
    torch.save(dict(message_hub=HistoryBuffer([1.0], [1])), tmp_path / 'old.pth')
    with pytest.raises(CheckpointError, match=r'it asks for .*If you trust the file, save its weights anew'):
        load_checkpoint(tmp_path / 'old.pth')


@pytest.mark.parametrize(
    ('keep', 'error', 'message'),
    [
        (0, BrokenCheckpointError, r'a.pth is empty'),
        (0.5, BrokenCheckpointError, r'a.pth is cut off: its table of contents'),
    ],
)
def test_cut_off_files(tmp_path, keep, error, message):
    path = tmp_path / 'a.pth'
    save_checkpoint(dict(state_dict=dict(weight=torch.rand(1000))), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(error, match=message):
        load_checkpoint(path)


def test_a_cut_off_pickle_of_old_is_broken(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save(dict(weight=torch.rand(1000)), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(BrokenCheckpointError, match='it is damaged'):
        load_checkpoint(path)


def test_no_checkpoint_at_all(tmp_path):
    (tmp_path / 'notes.pth').write_text('hello')
    (tmp_path / 'list.pth').touch()
    torch.save([1], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match=r'notes.pth is not a checkpoint'):
        load_checkpoint(tmp_path / 'notes.pth')
    with pytest.raises(CheckpointError, match='holds a list, a checkpoint is a dict'):
        load_checkpoint(tmp_path / 'list.pth')
    with pytest.raises(FileNotFoundError, match=r'its folder holds list.pth, notes.pth'):
        load_checkpoint(tmp_path / 'other.pth')
    with pytest.raises(FileNotFoundError, match='nor a folder'):
        load_checkpoint(tmp_path / 'nowhere/other.pth')
    with pytest.raises(FileNotFoundError, match='is a folder, a checkpoint is a file'):
        load_checkpoint(tmp_path)


def test_safetensors(tmp_path):
    path = tmp_path / 'a.safetensors'
    save_file(dict(weight=torch.ones(3)), path)
    assert torch.equal(weights_of(load_checkpoint(path), 'a')['weight'], torch.ones(3))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BrokenCheckpointError, match=r'a.safetensors cannot be read, it is cut off or no safetensors'):
        load_checkpoint(path)


def names_of(directory):
    return [path.name for path in find_checkpoints(directory)]


def test_the_highest_number_comes_first_whatever_its_age(tmp_path):
    for age, name in enumerate(['iter_3.pth', 'iter_20.pth', 'epoch_2.pth', 'best_r1_iter_30.pth', 'iter_x.pth']):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert names_of(tmp_path) == ['iter_20.pth', 'iter_3.pth', 'epoch_2.pth']
    write_last_checkpoint(tmp_path, tmp_path / 'iter_3.pth')
    assert names_of(tmp_path) == ['iter_20.pth', 'iter_3.pth', 'epoch_2.pth']
    write_last_checkpoint(tmp_path, tmp_path / 'epoch_2.pth')
    assert names_of(tmp_path) == ['epoch_2.pth', 'iter_20.pth', 'iter_3.pth']


@pytest.mark.parametrize('hint', [b'', b'\0' * 40, bytes(range(128, 256)), b'a' * 5000, b'gone/iter_9.pth', b'..'])
def test_last_checkpoint_may_hold_anything(tmp_path, hint):
    (tmp_path / 'last_checkpoint').write_bytes(hint)
    assert names_of(tmp_path) == []
    (tmp_path / 'iter_3.pth').touch()
    assert names_of(tmp_path) == ['iter_3.pth']


def test_a_copy_never_reads_its_original(tmp_path):
    for folder, names in dict(
        original=['iter_1.pth', 'iter_2.pth'], copy=['iter_1.pth'], bare=[], elsewhere=[]
    ).items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
        write_last_checkpoint(tmp_path / folder, tmp_path / 'original/iter_2.pth')
    assert find_checkpoints(tmp_path / 'copy') == [tmp_path / 'copy/iter_1.pth']
    assert find_checkpoints(tmp_path / 'bare') == []
    (tmp_path / 'original/last_checkpoint').unlink()  # a folder of checkpoints alone, as out_dir of the hook makes it
    assert [path.name for path in find_checkpoints(tmp_path / 'elsewhere')] == ['iter_2.pth', 'iter_1.pth']


def test_zeros_and_infinities_together_are_a_mask(tmp_path):
    mask = torch.full((3, 3), -math.inf).triu(1)
    values = dict(mask=mask, whole=torch.ones(2), count=torch.tensor(3), bad=[torch.tensor(math.nan), -mask])
    assert not_finite_keys(dict(state=values)) == ['state.bad.0', 'state.bad.1']
    assert not_finite_keys(torch.tensor([-math.inf]), 'alone') == ['alone']


def test_a_disk_without_room_is_one_line_and_nothing_is_begun(tmp_path, monkeypatch):
    save_checkpoint(dict(a=1), tmp_path / 'a.pth')
    monkeypatch.setattr('shutil.disk_usage', lambda path: SimpleNamespace(free=3_000_000))
    with pytest.raises(
        OmniVLRuntimeError,
        match=r'a\.pth cannot be written \(No space left on device\): about 4 MB are needed, 3 MB are free '
        r'there\. .*max_keep_ckpts.*--work-dir.*--resume',
    ) as caught:
        save_checkpoint(dict(a=torch.zeros(1_000_000)), tmp_path / 'a.pth')
    assert '\n' not in str(caught.value) and load_checkpoint(tmp_path / 'a.pth') == dict(a=1)
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_an_error_of_the_disk_is_not_hidden_by_that_of_torch(tmp_path):
    """torch.save turns the OSError of a file into a RuntimeError that names no file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        for write in (
            lambda: save_checkpoint(dict(a=torch.zeros(1_000_000)), tmp_path / 'a.pth'),
            lambda: write_text(tmp_path / 'a.txt', 'x' * 200_000),
        ):
            with pytest.raises(OmniVLRuntimeError, match=r'a\.\w+ cannot be written \(File too large\): about .* MB'):
                write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_told_key_by_key():
    model, before = nn.Linear(3, 2), None
    before = model.weight.detach().clone()
    weights = dict(weight=torch.zeros(2, 4), extra=torch.zeros(1))
    with pytest.raises(CheckpointError) as caught:
        load_state_dict(model, weights, 'a.pth')
    message = str(caught.value)
    assert re.search(r'a\.pth does not fit the model \(2 keys\), nothing was loaded', message)
    assert re.search(r'1 missing in the checkpoint:\n    bias', message)
    assert re.search(r'1 unknown to the model:\n    extra', message)
    assert 'weight (checkpoint (2, 4), model (2, 3))' in message and 'load_options=dict(' in message
    assert torch.equal(model.weight, before)


def test_allowed_differences_are_reported():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    weights = {'module.0.weight': torch.ones(2, 3), '0.bias': torch.zeros(5), 'extra.a': torch.zeros(1)}
    options = LoadOptions(allow_missing=['1.*'], allow_unexpected=['extra.*'], skip_shapes=True)
    report = load_state_dict(model, weights, 'a.pth', options)
    assert (report.missing, report.unexpected, report.skipped) == (['1.weight', '1.bias'], ['extra.a'], ['0.bias'])
    assert torch.equal(model[0].weight, torch.ones(2, 3))
    with pytest.raises(CheckpointError, match=r'1 missing in the checkpoint:\n    1\.weight'):
        load_state_dict(model, weights, 'a.pth', LoadOptions(['1.bias'], True, True))


def test_a_file_without_weights():
    with pytest.raises(CheckpointError, match=r"holds no weights: .* its keys are \['meta'\]"):
        weights_of(dict(meta=dict(seed=1)), 'a.pth')


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize('kind', ['checkpoint', 'foreign', 'safetensors'])
def test_a_changed_bit_is_noticed_or_means_nothing(tmp_path, each_flip, kind):
    weights = {f'layer{number}.weight': torch.randn(20, 20) for number in range(6)}
    path = tmp_path / ('a.safetensors' if kind == 'safetensors' else 'a.pth')
    if kind == 'checkpoint':
        save_checkpoint(dict(state_dict=weights, meta=dict(iter=3, seeds=[0.5, None])), path)
    elif kind == 'foreign':
        torch.save(dict(state_dict=weights), path)
    else:
        save_weights(weights, path)
    noticed = 0
    for place in each_flip([path], 200):
        try:
            content = load_checkpoint(path)
        except OmniVLError:
            noticed += 1
        else:
            assert same(content['state_dict'], weights), place
            assert kind != 'checkpoint' or content['meta'] == dict(iter=3, seeds=[0.5, None]), place
    assert noticed >= 150
    assert same(load_checkpoint(path)['state_dict'], weights)


def test_a_damaged_checkpoint_is_passed_over_whatever_its_pickle_asks_for(tmp_path):
    save_checkpoint(dict(state_dict=dict(weight=torch.rand(3))), tmp_path / 'iter_1.pth')
    save_checkpoint(dict(state_dict=dict(weight=torch.rand(3))), tmp_path / 'iter_2.pth')
    content = (tmp_path / 'iter_2.pth').read_bytes()
    (tmp_path / 'iter_2.pth').write_bytes(content.replace(b'torch._utils', b'torch.nutils'))
    os.utime(tmp_path / 'iter_1.pth', (1, 1))
    path, _, (problem,) = load_last_checkpoint(tmp_path)
    assert path == tmp_path / 'iter_1.pth'
    assert re.search(
        r'iter_2.pth is damaged: the checksum of archive/data.pkl .* is wrong; copy the file anew', problem
    )


def test_a_damaged_pointer_to_the_last_checkpoint_stops_nobody(tmp_path):
    save_checkpoint(dict(state_dict=dict(weight=torch.rand(3))), tmp_path / 'iter_1.pth')
    (tmp_path / 'last_checkpoint').write_bytes(b'iter_\xb1.pth')
    assert load_last_checkpoint(tmp_path)[0] == tmp_path / 'iter_1.pth'


def test_weights_that_were_replaced_inside_a_whole_file(tmp_path):
    path = tmp_path / 'a.pth'
    save_checkpoint(dict(state_dict=dict(weight=torch.zeros(3))), path)
    content = torch.load(path)
    torch.save(dict(content, state_dict=dict(weight=torch.ones(3))), path)
    with pytest.raises(BrokenCheckpointError, match=r'a.pth is damaged: the checksum of its content is wrong'):
        load_checkpoint(path)
    assert 'sha256' not in load_checkpoint(path, verify=False)
    save_checkpoint(torch.load(path), path)  # made anew, with the checksum of what it holds now
    assert load_checkpoint(path)['state_dict']['weight'].tolist() == [1, 1, 1]
