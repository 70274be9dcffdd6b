"""All of a run that a checkpoint holds: collected from a runner, and put back into one."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import mmengine
import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import Runner

from omnivl.storage.checkpoint import CheckpointError, load_state_dict
from omnivl.storage.plain import to_plain
from omnivl.storage.tensor_shards import shard_like
from omnivl.version import __version__
from omnivl.weights.facts import KEY, RESUME, check_facts, description_of

from .identity import allowed_differences

FORMAT = 'omnivl-1'
# Values of each logged scalar that a checkpoint keeps, so that smoothed values go on after a resume.
HISTORY_LENGTH = 10_000
# What the message hub says of this process and this moment; taking it from an older run would be wrong.
TRANSIENT_INFO = ('cfg', 'experiment_name', 'mmengine_version', 'loop_stage', 'eta', 'dataset_meta', 'last_ckpt')
NEEDED = ('meta', 'state_dict', 'message_hub', 'optimizer', 'train_loop', 'random_states')


def collect(
    runner: Runner,
    meta: Mapping[str, Any],
    description: Mapping[str, Any],
    parts: Mapping[str, Any],
    random_states: list[dict[str, Any]] | None,
    with_schedulers: bool,
) -> dict[str, Any]:
    """Collect what a checkpoint holds, in the middle of training; ``meta`` are further facts about it.

    ``description`` is what it says of its model, see ``describe``; ``parts`` are ``state_dict`` and, where a run may go
    on from it, ``optimizer``, with whole tensors. ``random_states`` are those of the generators of
    every rank; ``None`` = weights only, not to be resumed from.
    """
    content = dict(
        format=FORMAT,
        meta=dict(
            meta,
            cfg=runner.cfg.pretty_text,
            seed=runner.seed,
            experiment_name=runner.experiment_name,
            time=time.strftime('%Y%m%d_%H%M%S'),
            omnivl_version=__version__,
            mmengine_version=mmengine.__version__,
            torch_version=str(torch.__version__),
            world_size=runner.world_size,
            **{KEY: description},
        ),
        **parts,
        message_hub=message_hub_to_plain(runner.message_hub, HISTORY_LENGTH),
    )
    if random_states is not None:
        content['train_loop'] = runner.train_loop.state_dict()
        content['random_states'] = random_states
    if with_schedulers and runner.param_schedulers is not None:
        content['param_schedulers'] = _map_schedulers(runner.param_schedulers, _scheduler_state)
    return content


def check_resumable(content: Mapping[str, Any], source: str) -> None:
    """Raise a CheckpointError if a run cannot go on from the content of the checkpoint ``source``."""
    missing = [key for key in NEEDED if key not in content]
    if missing:
        raise CheckpointError(
            f'{source} cannot be resumed from: it has no {", ".join(missing)} (it holds weights only, or another '
            'program wrote it); start from its weights with load_from instead'
        )


def restore(runner: Runner, content: Mapping[str, Any], source: str) -> list[str]:
    """Put the content of a checkpoint back, but for the generators, which the first step must find untouched.

    ``source`` is its name, for the messages. Model, schedulers and tasks must be the same. Returns warnings about what
    makes the run differ from an unbroken one.
    """
    allowed = allowed_differences(runner.cfg)
    check_facts(description_of(content), runner.bare_model, source, allowed, RESUME)
    load_state_dict(runner.bare_model, content['state_dict'], source)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.optim_wrapper.load_state_dict(_cut_like(content['optimizer'], runner.optim_wrapper.optimizer))
    if runner.param_schedulers is not None and 'param_schedulers' in content:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        _load_schedulers(runner.param_schedulers, content['param_schedulers'], source)
    message_hub_from_plain(runner.message_hub, content['message_hub'])
    warnings = runner.train_loop.load_state_dict(content['train_loop'])
    if (written_by := len(content['random_states'])) != runner.world_size:
        warnings.append(
            f'written by {written_by} processes, there are {runner.world_size} now: '
            'the run goes on, but not bit for bit'
        )
    return warnings


def _cut_like(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Cut the state of an optimizer, which is that of whole parameters, as its parameters are cut, if they are."""
    places = zip(state['param_groups'], optimizer.param_groups)
    owners = {number: own for saved, group in places for number, own in zip(saved['params'], group['params'])}
    cut = {
        number: {
            key: shard_like(value, owners[number]) if getattr(value, 'shape', None) == owners[number].shape else value
            for key, value in values.items()
        }
        for number, values in state['state'].items()
    }
    return dict(state, state=cut)


def _map_schedulers(schedulers: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(schedulers, dict):
        return {name: [function(scheduler) for scheduler in group] for name, group in schedulers.items()}
    return [function(scheduler) for scheduler in schedulers]


def _scheduler_state(scheduler: Any) -> dict[str, Any]:
    # OneCycleLR and others keep functions, which follow from their arguments.
    return {key: value for key, value in scheduler.state_dict().items() if not callable(value)}


def _load_schedulers(schedulers: Any, states: Any, source: str) -> None:
    pairs = zip(schedulers.values(), states.values()) if isinstance(schedulers, dict) else [(schedulers, states)]
    for group, group_states in pairs:
        if len(group) != len(group_states):
            raise CheckpointError(
                f'{source} has {len(group_states)} param_scheduler states, the config has {len(group)}: resume with '
                'the config of that run, or start a new stage from its weights with load_from'
            )
        for scheduler, state in zip(group, group_states):
            scheduler.load_state_dict(state)
            # MMEngine counts updates since the start of the process here, and warns of a schedule ahead of them.
            scheduler.optimizer._global_step = max(scheduler.optimizer._global_step, 0)


def get_random_state() -> dict[str, Any]:
    """Collect the states of all random number generators of this process, as plain values.

    They are those of ``random``, ``numpy.random``, torch on the CPU and, where there is one, on the CUDA device.
    """
    version, numbers, gauss = random.getstate()
    algorithm, keys, position, has_gauss, cached = np.random.get_state()
    state = dict(
        python=dict(version=version, numbers=list(numbers), gauss=gauss),
        numpy=dict(
            algorithm=algorithm,
            keys=[int(key) for key in keys],
            position=int(position),
            has_gauss=int(has_gauss),
            cached=float(cached),
        ),
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what :func:`get_random_state` collected."""
    python, numpy = state['python'], state['numpy']
    random.setstate((python['version'], tuple(python['numbers']), python['gauss']))
    keys = np.array(numpy['keys'], dtype=np.uint32)
    np.random.set_state((numpy['algorithm'], keys, numpy['position'], numpy['has_gauss'], numpy['cached']))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


def message_hub_to_plain(hub: MessageHub, history_length: int) -> dict[str, Any]:
    """Write down the scalars and the runtime information of a message hub without its ``HistoryBuffer`` objects.

    Returns ``scalars`` (name -> ``values`` float64 or int64 (n,) and ``counts`` int64 (n,)) and ``info``. The last
    ``history_length`` values of a scalar are kept; smoothing windows must not be longer.
    """
    scalars, info = {}, {}
    for key, buffer in hub.log_scalars.items():
        values, counts = buffer.data
        scalars[key] = dict(
            values=torch.tensor(values[-history_length:]),
            counts=torch.tensor(counts[-history_length:]),
        )
    for key, value in hub.runtime_info.items():
        if key not in TRANSIENT_INFO:
            info[key] = to_plain(value, f'message_hub.{key}')
    return dict(scalars=scalars, info=info)


def message_hub_from_plain(hub: MessageHub, state: dict[str, Any]) -> None:
    """Put back what :func:`message_hub_to_plain` wrote, so that smoothed values go on where they stopped."""
    for key, history in state['scalars'].items():
        hub.log_scalars[key] = HistoryBuffer(history['values'].numpy(), history['counts'].numpy())
    hub.update_info_dict(state['info'])
