"""Resume finds the newest whole checkpoint of its own run, the best one is never lost, and a full disk is one line."""

import itertools
import os
import pickle
import resource
import shutil
import signal
from pathlib import Path

import pytest
import toys
from runs import assert_same_run, start_process, train

from omnivl.errors import OmniVLRuntimeError
from omnivl.registry import EVALUATIONS
from omnivl.storage import load_checkpoint

BEST = dict(checkpoint=dict(interval=2, save_best='image.r1'))


@EVALUATIONS.register_module()
class Rising(toys.ToyEvaluation):
    """Better after every step of the training."""

    def run(self, model, dataloader, progress):
        """Evaluate."""
        result = super().run(model, dataloader, progress)
        result.metrics['r1'] = float(model.steps)
        return result


def validated(interval: int = 1, **checkpoint) -> dict:
    hook = dict(interval=2, save_best='image.r1') | checkpoint
    return dict(
        val_dataloader=dict(image=toys.loader('image', size=4)),
        val_evaluator=dict(image=dict(type='Rising')),
        val_cfg=dict(type='EvaluationLoop'),
        train_cfg=dict(type='AlternatingTrainLoop', max_iters=10, val_interval=interval),
        default_hooks=dict(checkpoint=hook),
    )


def names_in(folder: Path, pattern: str = '*.pth') -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def log_of(runner) -> str:
    return next(Path(runner.log_dir).glob('*.log')).read_text()


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.path}',)


@pytest.mark.parametrize('damage', ['zeros', 'code', 'a folder', 'binary last_checkpoint', 'old last_checkpoint'])
def test_resume_passes_over_whatever_cannot_be_read(tmp_path, damage):
    train(tmp_path / 'run', f'damage-{damage}', stop=dict(after=5))
    last, pointer = tmp_path / 'run/iter_5.pth', tmp_path / 'run/last_checkpoint'
    if damage == 'zeros':
        last.write_bytes(bytes(last.stat().st_size))
    elif damage == 'code':
        last.write_bytes(pickle.dumps(Code(tmp_path / 'ran')))
    elif damage == 'a folder':
        last.unlink()
        last.mkdir()
    elif damage == 'binary last_checkpoint':
        pointer.write_bytes(bytes(range(256)))
    else:
        pointer.write_text(str(tmp_path / 'run/iter_3.pth'))
        os.utime(last, (1, 1))
    runner = train(tmp_path / 'run', f'damage-2-{damage}', stop=dict(after=6), resume=True)
    whole = 5 if 'last_checkpoint' in damage else 4
    assert runner.loaded_from == str(tmp_path / f'run/iter_{whole}.pth')
    assert ('falling back' in log_of(runner)) == (whole == 4) and not (tmp_path / 'ran').exists()


def test_a_copied_folder_is_resumed_from_itself(tmp_path):
    train(tmp_path / 'original', 'copy-1', stop=dict(after=5))
    shutil.copytree(tmp_path / 'original', tmp_path / 'copy')
    (tmp_path / 'copy/iter_5.pth').unlink()
    assert train(tmp_path / 'copy', 'copy-2', stop=dict(after=6), resume=True).loaded_from.endswith('copy/iter_4.pth')
    assert names_in(tmp_path / 'original') == ['iter_3.pth', 'iter_4.pth', 'iter_5.pth']


def test_checkpoints_in_a_folder_of_their_own_are_found_and_fall_back(tmp_path):
    hooks = dict(default_hooks=dict(checkpoint=dict(interval=1, out_dir=str(tmp_path / 'out'))))
    train(tmp_path / 'run', 'out-1', stop=dict(after=5), **hooks)
    (tmp_path / 'out/run/iter_5.pth').write_bytes(b'')
    runner = train(tmp_path / 'run', 'out-2', stop=dict(after=6), resume=True, **hooks)
    assert runner.loaded_from == str(tmp_path / 'out/run/iter_4.pth')
    train(tmp_path / 'run', 'out-3', stop=dict(after=2), **hooks)
    assert names_in(tmp_path / 'out/run') == ['iter_1.pth', 'iter_2.pth']
    assert len(names_in(tmp_path / 'out/run', 'earlier_*/*.pth')) == 7  # the broken one too
    assert train(tmp_path / 'run', 'out-4', resume=True, **hooks).loaded_from == str(tmp_path / 'out/run/iter_2.pth')


def test_a_new_run_in_an_old_folder_is_not_taken_for_the_old_one(tmp_path):
    train(tmp_path / 'run', 'old-1', stop=dict(after=5), **validated(save_best='image.r1', interval=1))
    old = names_in(tmp_path / 'run')
    assert 'best_image.r1_iter_5.pth' in old and 'iter_5.pth' in old
    runner = train(tmp_path / 'run', 'old-2', stop=dict(after=2))
    assert names_in(tmp_path / 'run') == ['iter_1.pth', 'iter_2.pth']
    assert names_in(tmp_path / 'run', 'earlier_*/*.pth') == old
    assert 'it is now in earlier_' in log_of(runner) and len(list((tmp_path / 'run').glob('earlier_*/last_ch*'))) == 1
    assert train(tmp_path / 'run', 'old-3', resume=True).loaded_from == str(tmp_path / 'run/iter_2.pth')
    assert len(list((tmp_path / 'run').glob('earlier_*'))) == 1


def test_what_came_after_the_checkpoint_that_is_resumed_goes_aside(tmp_path):
    hooks = dict(default_hooks=dict(checkpoint=dict(interval=1)))
    train(tmp_path / 'run', 'later-1', stop=dict(after=6), **hooks)
    train(tmp_path / 'run', 'later-2', stop=dict(after=4), resume=str(tmp_path / 'run/iter_3.pth'), **hooks)
    assert names_in(tmp_path / 'run') == [f'iter_{number}.pth' for number in (1, 2, 3, 4)]
    assert names_in(tmp_path / 'run', 'earlier_*/*.pth') == [f'iter_{number}.pth' for number in (4, 5, 6)]
    assert train(tmp_path / 'run', 'later-3', resume=True, **hooks).loaded_from == str(tmp_path / 'run/iter_4.pth')


def killed_inside(call: str, count: int, best: bool, *arguments, **options) -> None:
    """Train, and be killed when ``os.replace`` or ``os.unlink`` is called for the n-th time with a best checkpoint."""
    original, calls = getattr(os, call), itertools.count(1)

    def deadly(*given, **named):
        if Path(given[-1]).name.startswith('best_') == best and next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*given, **named)

    setattr(os, call, deadly)
    train(*arguments, **options)


def test_the_best_checkpoint_is_never_lost_to_a_kill(tmp_path):
    changes = validated()
    train(tmp_path / 'whole', 'best-whole', **changes)
    moments = [
        ('replace', 2, True),
        ('replace', 2, False),
        ('unlink', 1, True),
        ('replace', 3, False),
        ('unlink', 2, True),
    ]
    for number, moment in enumerate(moments):
        process = start_process(killed_inside, *moment, tmp_path / 'run', f'best-{number}', resume=True, **changes)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert [load_checkpoint(path) for path in (tmp_path / 'run').glob('best_*.pth')], moment
        last = max((tmp_path / 'run').glob('iter_*.pth'), key=lambda path: int(path.stem[5:]), default=None)
        named = last and load_checkpoint(last)['message_hub']['info'].get('best_ckpt')
        assert named is None or Path(named).is_file(), moment  # what a resumed run would believe in is there
    train(tmp_path / 'run', 'best-last', resume=True, **changes)
    assert (
        names_in(tmp_path / 'run', 'best_*') == names_in(tmp_path / 'whole', 'best_*') == ['best_image.r1_iter_10.pth']
    )
    assert_same_run(tmp_path / 'whole', tmp_path / 'run', 10)


def test_the_old_best_stays_until_a_checkpoint_names_the_new_one(tmp_path):
    """In a run that has saved nothing since its start, and in the middle of an accumulation."""
    train(tmp_path / 'run', 'stay-1', stop=dict(after=4), **validated())
    shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    before = names_in(tmp_path / 'run', 'best_*')
    changes = validated(interval=1)
    changes['default_hooks']['checkpoint'] |= dict(interval=100, save_last=False)
    train(tmp_path / 'copy', 'stay-2', stop=dict(after=6), resume=True, **changes)
    assert names_in(tmp_path / 'run', 'best_*') == before == ['best_image.r1_iter_4.pth']  # not the original's
    assert 'best_image.r1_iter_4.pth' in names_in(tmp_path / 'copy', 'best_*')


def full_disk(work_dir: Path, name: str, limit: int, stop: int, **changes) -> None:
    """Train until no file may be larger than ``limit`` bytes, after ``stop`` iterations."""
    write = toys.StopHook.after_train_iter

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx + 1 == stop:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    toys.StopHook.after_train_iter = after_train_iter
    try:
        train(work_dir, name, stop=dict(after=stop), **changes)
    except OmniVLRuntimeError as error:
        (work_dir.parent / 'message').write_text(str(error))
    finally:
        toys.StopHook.after_train_iter = write


def test_a_full_disk_ends_the_run_and_after_that_it_goes_on(tmp_path):
    train(tmp_path / 'whole', 'full-whole')
    (tmp_path / 'message').touch()
    process = start_process(full_disk, tmp_path / 'run', 'full-1', 5000, 3)
    process.join()
    message = (tmp_path / 'message').read_text()
    assert 'iter_4.pth cannot be written (File too large): about 0.0' in message and '--resume' in message
    assert names_in(tmp_path / 'run', '*.pth') == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']
    assert not list((tmp_path / 'run').glob('.*.tmp'))
    train(tmp_path / 'run', 'full-2', resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'run', 10)
