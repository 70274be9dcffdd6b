"""The law of resume: a run that was interrupted is bit for bit the run that was not."""

import itertools
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
import torch
import toys
from runs import assert_equal, assert_same_run, logged, run_ranks, start_process, train

from omnivl.storage import CheckpointError, load_checkpoint, save_checkpoint

VALIDATION = dict(
    val_dataloader=dict(image=toys.loader('image', size=4)),
    val_evaluator=dict(image=dict(type='ToyEvaluation')),
    val_cfg=dict(type='EvaluationLoop'),
)


@pytest.mark.parametrize('stop', [4, 5, 6])  # the end of an epoch of images, its middle, the end of one of videos
def test_resumed_run_is_the_unbroken_run(tmp_path, stop):
    train(tmp_path / 'whole', f'whole-{stop}')
    train(tmp_path / 'parts', f'first-{stop}', stop=dict(after=stop))
    torch.rand(5), random.random()  # the new process would be in another state
    train(tmp_path / 'parts', f'second-{stop}', resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)
    assert sorted(logged(tmp_path / 'parts')) == list(range(1, 11))


def test_all_states_differ_without_resume(tmp_path):
    """The comparison can fail: another seed changes every part of it."""
    train(tmp_path / 'one', 'seed-one')
    train(tmp_path / 'two', 'seed-two', randomness=dict(seed=8))
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / 'one', tmp_path / 'two', 10)


def test_resume_loads_only_what_was_not_used(tmp_path):
    journal = tmp_path / 'journal'
    loaders = dict(image=toys.loader('image', size=16, journal=str(journal)))
    options = dict(train_dataloader=loaders, train_cfg=dict(type='AlternatingTrainLoop', max_iters=8))
    train(tmp_path / 'run', 'journal-1', stop=dict(after=3), **options)
    journal.unlink()
    train(tmp_path / 'run', 'journal-2', resume=True, **options)
    loaded = [tuple(line.split()) for line in journal.read_text().splitlines()]
    wanted = [entry for entry in loaded if entry[1] in '01']
    # Batch 4 of epoch 0, then epoch 1 (and what the workers prefetch after it): no sample of the first three batches.
    assert len(set(wanted)) == len(wanted) == 4 + 16
    assert sum(epoch == '0' for _, epoch, _ in loaded) == 4


def test_resume_keeps_the_seed_that_was_drawn(tmp_path):
    train(tmp_path / 'run', 'unseeded-1', stop=dict(after=5), randomness=dict(seed=None))
    drawn = load_checkpoint(tmp_path / 'run/iter_5.pth')['meta']['seed']
    train(tmp_path / 'run', 'unseeded-2', resume=True, randomness=dict(seed=None))
    train(tmp_path / 'whole', 'unseeded-3', randomness=dict(seed=drawn))
    assert_same_run(tmp_path / 'whole', tmp_path / 'run', 10)


def test_validation_leaves_no_trace_in_the_training(tmp_path):
    train(tmp_path / 'without', 'no-val')
    loop = dict(type='AlternatingTrainLoop', max_iters=10, proportions=dict(image=2, video=1), val_interval=2)
    train(tmp_path / 'with', 'with-val', train_cfg=loop, **VALIDATION)
    one, two = (load_checkpoint(tmp_path / run / 'iter_10.pth') for run in ('without', 'with'))
    for part in ('state_dict', 'optimizer', 'random_states'):
        assert_equal(one[part], two[part], part)


def test_gradients_in_the_making_are_never_cut_off(tmp_path):
    """With accumulation an iteration is a whole update, and a checkpoint holds it."""
    wrapper = dict(constructor='DecayGroupsConstructor', accumulative_counts=3, optimizer=dict(type='AdamW', lr=0.05))
    train(tmp_path / 'whole', 'accumulate-0', optim_wrapper=wrapper)
    train(tmp_path / 'parts', 'accumulate-1', stop=dict(after=5, kill=False), optim_wrapper=wrapper)
    given = load_checkpoint(tmp_path / 'parts/iter_5.pth')['train_loop']['streams']
    assert sum(stream['samples'] for stream in given.values()) == 5 * 3 * 4
    train(tmp_path / 'parts', 'accumulate-2', resume=True, optim_wrapper=wrapper)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)


def two_ranks(root: Path) -> None:
    changes = dict(launcher='pytorch')
    changes['train_dataloader'] = dict(image=toys.loader('image', size=27), video=toys.loader('video', size=19))
    train(root / 'whole', 'ranks-0', **changes)
    train(root / 'parts', 'ranks-1', stop=dict(after=5), **changes)
    torch.rand(5)
    train(root / 'parts', 'ranks-2', resume=True, **changes)


def test_resumed_run_is_the_unbroken_run_on_two_processes(tmp_path):
    run_ranks(two_ranks, tmp_path)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)
    content = load_checkpoint(tmp_path / 'whole/iter_10.pth')
    assert content['meta']['world_size'] == len(content['random_states']) == 2
    assert not torch.equal(*(state['torch'] for state in content['random_states']))
    assert content['train_loop']['streams']['image']['samples'] == 7 * 8  # of both ranks


def killed_inside(call: str, count: int, *arguments, **options) -> None:
    """Train, and be killed when a function of ``os`` is called for the n-th time, before it does anything."""
    original, calls = getattr(os, call), itertools.count(1)

    def deadly(*given, **named):
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*given, **named)

    setattr(os, call, deadly)
    train(*arguments, **options)


def test_killed_while_writing_the_run_goes_on(tmp_path):
    """kill -9 in every stage of the writing of a checkpoint; the end is that of the unbroken run."""
    train(tmp_path / 'whole', 'kill-whole')
    # A checkpoint: fsync and replace of the file, fsync of the folder, then the same for last_checkpoint.
    moments = [('fsync', 1), ('replace', 1), ('replace', 2), ('fsync', 3), ('fsync', 4), ('fsync', 2)]
    for number, (call, count) in enumerate(moments):
        process = start_process(killed_inside, call, count, tmp_path / 'run', f'kill-{number}', resume=True)
        process.join()  # not with a timeout, which would wait for the workers too
        assert process.exitcode == -signal.SIGKILL
    train(tmp_path / 'run', 'kill-last', resume=True)
    assert not list((tmp_path / 'run').glob('.*.tmp'))
    assert_same_run(tmp_path / 'whole', tmp_path / 'run', 10)


def test_killed_at_random_moments_the_run_goes_on(tmp_path):
    train(tmp_path / 'whole', 'random-whole')
    draw = random.Random(3)
    exits = []
    while 0 not in exits and len(exits) < 20:
        process = start_process(train, tmp_path / 'run', f'random-{len(exits)}', resume=True)
        process.join(draw.uniform(0.2, 0.8) if len(exits) < 4 else 60)
        process.kill()
        process.join()
        exits.append(process.exitcode)
    assert exits[-1] == 0 and set(exits) <= {0, -signal.SIGKILL}
    assert_same_run(tmp_path / 'whole', tmp_path / 'run', 10)


def broken_by(name: str, content: bytes) -> bytes:
    if name == 'cut off':
        return content[: len(content) // 2]
    if name == 'empty':
        return b''
    place = content.index(b'\x80\x02', content.index(b'data.pkl')) + 200  # inside the data of an entry
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize('damage', ['cut off', 'empty', 'one bit'])
def test_auto_resume_falls_back_to_the_last_whole_checkpoint(tmp_path, damage):
    train(tmp_path / 'run', f'fall-1-{damage}', stop=dict(after=5))
    last = tmp_path / 'run/iter_5.pth'
    last.write_bytes(broken_by(damage, last.read_bytes()))
    runner = train(tmp_path / 'run', f'fall-2-{damage}', stop=dict(after=6), resume=True)
    assert runner.loaded_from == str(tmp_path / 'run/iter_4.pth')
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert 'iter_5.pth' in log and 'falling back' in log


def test_all_broken_is_an_error_and_no_new_start(tmp_path):
    train(tmp_path / 'run', 'broken-1', stop=dict(after=2))
    for path in (tmp_path / 'run').glob('iter_*.pth'):
        path.write_bytes(b'')
    with pytest.raises(CheckpointError, match=r'none of the checkpoints in .* is whole; move them away'):
        train(tmp_path / 'run', 'broken-2', resume=True)


def test_without_a_checkpoint_the_run_begins(tmp_path):
    assert train(tmp_path / 'run', 'nothing', stop=dict(after=1), resume='auto').loaded_from is None


def test_a_moved_work_directory_is_resumed(tmp_path):
    train(tmp_path / 'old', 'moved-1', stop=dict(after=3))
    (tmp_path / 'old').rename(tmp_path / 'new')
    assert train(tmp_path / 'new', 'moved-2', resume=True).loaded_from == str(tmp_path / 'new/iter_3.pth')


def test_other_tasks_are_an_error(tmp_path):
    train(tmp_path / 'run', 'loaders-1', stop=dict(after=2))
    images = dict(
        train_dataloader=dict(image=toys.loader('image')), train_cfg=dict(type='AlternatingTrainLoop', max_iters=9)
    )
    with pytest.raises(ValueError, match=r"tasks \['image', 'video'\], train_dataloader now has \['image'\]"):
        train(tmp_path / 'run', 'loaders-2', resume=True, **images)


@pytest.mark.parametrize('missing', ['meta', 'message_hub', 'state_dict', 'optimizer'])
def test_a_checkpoint_without_a_part_is_an_error(tmp_path, missing):
    train(tmp_path / 'run', f'part-{missing}-1', train_cfg=dict(type='AlternatingTrainLoop', max_iters=1))
    content = load_checkpoint(tmp_path / 'run/iter_1.pth')
    del content[missing]
    save_checkpoint(content, tmp_path / 'run/iter_1.pth')
    with pytest.raises(CheckpointError, match=rf'iter_1.pth cannot be resumed from: it has no {missing}'):
        train(tmp_path / 'run', f'part-{missing}-2', resume=True)


def test_weights_only_is_an_error(tmp_path):
    train(tmp_path / 'run', 'weights-1', default_hooks=dict(checkpoint=dict(save_optimizer=False)))
    with pytest.raises(CheckpointError, match=r'holds weights only.*load_from instead'):
        train(tmp_path / 'run', 'weights-2', resume=True)


def test_resume_begins_with_load_from_and_then_ignores_it(tmp_path):
    """One command, ``--resume``, both starts a stage from the one before it and goes on with it."""
    train(tmp_path / 'first', 'stage-1')
    start = str(next((tmp_path / 'first').glob('iter_*.pth')))
    first = train(tmp_path / 'second', 'stage-2', resume=True, load_from=start)
    assert first.loaded_from == start
    again = train(tmp_path / 'second', 'stage-2-again', resume=True, load_from='gone.pth')
    assert Path(again.loaded_from).parent == tmp_path / 'second'


def test_a_run_killed_after_its_last_checkpoint_ends_as_the_unbroken_one(tmp_path):
    train(tmp_path / 'whole', 'end-whole')
    shutil.copytree(tmp_path / 'whole', tmp_path / 'run')
    train(tmp_path / 'run', 'end-again', resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'run', 10)
