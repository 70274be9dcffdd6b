"""Compiling a model: the whole forward pass, or block by block."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from omnivl.errors import OmniVLValueError

SCOPES = ('model', 'blocks')


def compile_model(model: nn.Module, options: Literal[True] | Mapping[str, Any]) -> str:
    """Compile a model in place, as the key ``compile`` of a config says.

    Of ``scope='blocks'`` each layer of encoders and decoders is compiled on its own. Equal layers share one graph, so
    it takes the time of a few layers, and what stands between them is never a reason to start anew.

    Args:
        model: The model.
        options: Arguments of ``torch.compile``, and ``scope``, ``'model'`` by default; True = none.

    Returns:
        What was compiled, for the log.

    Raises:
        OmniVLValueError: There is no such scope, or there are no layers.
    """
    arguments: dict[str, Any] = {} if options is True else dict(options)
    scope = arguments.pop('scope', 'model')
    if scope not in SCOPES:
        raise OmniVLValueError(f'compile.scope must be one of {SCOPES}, got {scope!r}')
    if scope == 'model':
        model.compile(**arguments)
        return 'the forward pass'
    blocks = [block for part in model.modules() if isinstance(part, nn.ModuleList) for block in part]
    if not blocks:
        raise OmniVLValueError("compile.scope='blocks', and the model has no lists of layers; take compile=True")
    for block in blocks:
        # Not block.compile: PyTorch keeps few graphs of one function, and that would be the same for all kinds.
        block.forward = torch.compile(block.forward, **arguments)
    return f'{len(blocks)} layers'
