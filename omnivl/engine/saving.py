"""Saving a run: whole or in parts, while it waits or beside it."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.runner import Runner

from omnivl.errors import OmniVLFloatingPointError
from omnivl.storage.checkpoint import SHARDS, find_checkpoints, save_checkpoint
from omnivl.storage.plain import not_finite_keys, to_plain
from omnivl.storage.sharded import finish_parts, save_part, temporary_folder
from omnivl.storage.tensor_shards import cut, whole

from .run_state import collect, get_random_state


def save_run(runner: Runner, path: Path, with_optimizer: bool, with_schedulers: bool, meta: Mapping[str, Any]) -> None:
    """Write a checkpoint; every rank must call it.

    A file is written by the first rank, with whole tensors; a folder (``.shards``) has a file of each rank, with the
    parts that it has. Both hold the same. ``runner.writer`` writes, in a thread if it has one, copies of what there is
    now; what it began before is waited for.

    Args:
        runner: The runner.
        path: The file or folder; it is whole or not there.
        with_optimizer: Whether it holds all that a resumed run needs, or weights only.
        with_schedulers: Whether it holds the states of the schedulers.
        meta: Further facts about it.

    Raises:
        OmniVLFloatingPointError: A weight or a state of the optimizer is not finite.
    """
    runner.writer.wait()
    in_parts = path.suffix == SHARDS
    parts: dict[str, Any] = dict(state_dict=runner.bare_model.state_dict(keep_vars=True))
    if with_optimizer:
        parts['optimizer'] = runner.optim_wrapper.state_dict()
    if not in_parts:
        parts = whole(parts, is_main_process(), copy=runner.writer.in_thread)
    # All ranks have written what they began before when this is answered.
    ranks = all_gather_object((get_random_state(), not_finite_keys(parts), uuid.uuid4().hex))
    damaged: list[str] = next((keys for _, keys, _ in ranks if keys), [])
    if damaged:
        last = next(iter(find_checkpoints(runner.work_dir)), 'missing, none was written yet')
        raise OmniVLFloatingPointError(
            f'{path} is not written: {len(damaged)} tensors are not finite ({", ".join(damaged[:5])}). The last '
            f'checkpoint is {last}; resume from it with a lower learning rate, a longer warm-up or clip_grad'
        )
    folder = temporary_folder(path, ranks[0][-1])
    if in_parts:
        own = cut(parts, is_main_process())
        parts = own.frame
        runner.writer.do(save_part, own, folder, get_rank())
    if not is_main_process():
        return
    random_states = [state for state, _, _ in ranks] if with_optimizer else None
    content = collect(runner, meta, runner.description, parts, random_states, with_schedulers)
    runner.call_hook('before_save_checkpoint', checkpoint=content)
    content = to_plain(content)
    if in_parts:
        runner.writer.do(finish_parts, content, folder, path, get_world_size())
    else:
        runner.writer.do(save_checkpoint, content, path)
