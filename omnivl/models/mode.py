"""The mode of a model that is used and not trained, and what is computed in float32 in any mode."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, without gradients, and every module back into the mode that it was in."""
    # Module by module: parts that training keeps in eval mode (the momentum encoder) stay so after it.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def full_precision(device: str) -> AbstractContextManager:
    """Switch mixed precision off inside, on this type of device."""
    # The meta device, on which omnivl flops counts, has no autocast to turn off.
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
