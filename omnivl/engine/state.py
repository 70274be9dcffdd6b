"""The state of a process in plain values: what checkpoints hold beside the weights."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

from omnivl.errors import OmniVLTypeError

# What the message hub says of this process and this moment; taking it from an older run would be wrong.
TRANSIENT_INFO = ('cfg', 'experiment_name', 'mmengine_version', 'loop_stage', 'eta', 'dataset_meta', 'last_ckpt')


def to_plain(value: Any, name: str = 'checkpoint') -> Any:
    """Copy a nested value into what ``torch.load(weights_only=True)`` reads: plain Python values and CPU tensors.

    Args:
        value: Dicts, lists, tuples, numbers, strings, ``None``, tensors, numpy arrays, nested to any depth.
        name: What the value is called in the error.

    Returns:
        The same with plain dicts, numpy arrays as tensors, tensors on the CPU without more storage than they need.

    Raises:
        OmniVLTypeError: For anything else: its pickle would hold code.
    """
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        # A view would drag the whole storage it looks at into the file.
        return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {to_plain(key, name): to_plain(item, f'{name}.{key}') for key, item in value.items()}
    if isinstance(value, tuple) and not hasattr(value, '_fields'):
        return tuple(to_plain(item, f'{name}[{i}]') for i, item in enumerate(value))
    if isinstance(value, list | tuple):
        return [to_plain(item, f'{name}[{i}]') for i, item in enumerate(value)]
    raise OmniVLTypeError(
        f'{name} is a {type(value).__module__}.{type(value).__qualname__}, and a checkpoint holds plain values and '
        'tensors only: turn it into numbers, strings, lists, dicts or tensors before it is saved'
    )


def get_random_state() -> dict[str, Any]:
    """Collect the states of all random number generators of this process, as plain values.

    Returns:
        States of ``random``, ``numpy.random``, torch on the CPU and, where there is one, on the current CUDA device.
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
    """Put back what :func:`get_random_state` collected.

    Args:
        state: The collected states; ``'cuda'`` is used if it is there and this process has such a device.
    """
    python, numpy = state['python'], state['numpy']
    random.setstate((python['version'], tuple(python['numbers']), python['gauss']))
    keys = np.array(numpy['keys'], dtype=np.uint32)
    np.random.set_state((numpy['algorithm'], keys, numpy['position'], numpy['has_gauss'], numpy['cached']))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


def message_hub_to_plain(hub: MessageHub, history_length: int) -> dict[str, Any]:
    """Write down the scalars and the runtime information of a message hub without its ``HistoryBuffer`` objects.

    Args:
        hub: The hub of the run.
        history_length: How many of the last values of each scalar are kept; smoothing windows must not be longer.

    Returns:
        Dict with ``scalars`` (name -> ``values`` float64 or int64 (n,) and ``counts`` int64 (n,)) and ``info``.
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
    """Put back what :func:`message_hub_to_plain` wrote, so that smoothed values go on where they stopped.

    Args:
        hub: The hub of the new run.
        state: The dict that was written.
    """
    for key, history in state['scalars'].items():
        hub.log_scalars[key] = HistoryBuffer(history['values'].numpy(), history['counts'].numpy())
    hub.update_info_dict(state['info'])
