"""How many threads a process without a GPU computes with: a small model is slower with several than with one."""

import os

import torch
from torch import nn

SMALL = 10_000_000  # parameters; waiting for each other then costs threads more than they share out


def choose_threads(model: nn.Module) -> str | None:
    """Let a small model on a CPU compute with one thread, which leaves the other cores to the loaders' workers.

    ``OMP_NUM_THREADS`` decides where it is set. Returns the line that says what was chosen, None where nothing was.
    """
    parameters = list(model.parameters())
    cores, size = torch.get_num_threads(), sum(parameter.numel() for parameter in parameters)
    is_elsewhere = any(parameter.device.type != 'cpu' for parameter in parameters)
    if os.environ.get('OMP_NUM_THREADS') or is_elsewhere or cores == 1 or size > SMALL:
        return None
    torch.set_num_threads(1)
    return f'threads: 1 of {cores}, for a model of {size / 1e6:.1f} M parameters; OMP_NUM_THREADS=N takes N'
