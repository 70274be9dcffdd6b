"""Linear layers whose weights can be packed, for the steps of a decoder on a CPU.

PyTorch multiplies float32 matrices on x86 processors with MKL, though it has oneDNN aboard, which it takes for half
precision, convolutions and compiled models. Measured on an AMD EPYC (Zen 5), oneDNN with packed weights needs 40 % of
the time for the dozen rows of a beam search, where most of the work is to read the weights. The two differ in the last
bits, so nothing but a decoder that was told to pack (``GenerationDecoder.packed``) takes this way. The operators are no
public interface: where they are missing or do something else, ``onednn_works`` says so and nothing is packed. What it
gains, ``tools/benchmarks/generation.py`` shows with and without (``--plain``).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Of the weight; below it (512 x 512) there is little to gain.
MIN_ELEMENTS = 2**18


@cache
def onednn_works() -> bool:
    """Find out whether this PyTorch has the operators of its compiler for linear layers, and they do what we expect."""
    if not torch.backends.mkldnn.is_available():
        return False
    values, weight, bias = torch.ones(2, 3), torch.ones(4, 3), torch.ones(4)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, 2)
        product = _onednn_linear(values, packed, bias)
    except (AttributeError, RuntimeError, TypeError):  # they are no public interface
        return False
    return torch.equal(product, torch.full((2, 4), 4.0))


def _onednn_linear(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(values, weight, bias, 'none', [], '')


def can_use_onednn(values: Tensor, weight: Tensor) -> bool:
    """Decide whether oneDNN may take over: float32 on a CPU, without gradients and mixed precision, a large weight.

    ``torch.backends.mkldnn.flags(enabled=False)`` switches it off.
    """
    return (
        not torch.is_grad_enabled()
        and values.device.type == weight.device.type == 'cpu'
        and values.dtype == weight.dtype == torch.float32
        and weight.numel() >= MIN_ELEMENTS
        and values.numel() > 0
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled('cpu')
        and not torch.compiler.is_compiling()
        and onednn_works()
    )


def linear(values: Tensor, weight: Tensor, bias: Tensor | None = None, packed: Tensor | None = None) -> Tensor:
    """Do as ``torch.nn.functional.linear`` does, by oneDNN with a packed weight, where that can be.

    Args:
        values: float (..., I).
        weight: float (O, I).
        bias: float (O,).
        packed: What ``pack`` made of the weight, if it did.

    Returns:
        float (..., O).
    """
    if packed is not None and can_use_onednn(values, weight):
        return _onednn_linear(values, packed, bias)
    if keeps_less() and on_cpu(values) and not torch.is_autocast_enabled('cpu'):
        return _After.apply(partial(F.linear, weight=weight, bias=bias), _AS_IT_IS, values, weight, bias)
    return F.linear(values, weight, bias)


def on_cpu(values: Tensor) -> bool:
    """Tell whether a tensor is a real one on a CPU, that no compiler traces, so that its numbers can be read."""
    return type(values) is Tensor and values.device.type == 'cpu' and not torch.compiler.is_compiling()


def pack(weight: Tensor, rows: int = 16) -> Tensor | None:
    """Copy a weight, float (O, I), into oneDNN's own layout for so many rows; None where it would be of no use."""
    with torch.no_grad():
        if not can_use_onednn(weight, weight):
            return None
        return torch.ops.mkldnn._reorder_linear_weight(weight, rows)


class Linear(nn.Linear):
    """``torch.nn.Linear`` by way of ``linear``; the same parameters under the same names.

    Attributes:
        packed: A copy of the weight for ``linear``, or None; see ``GenerationDecoder.packed``.
    """

    packed: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Map float (..., I) to float (..., O)."""
        return linear(values, self.weight, self.bias, self.packed)

    def after(self, function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """Map ``function(values)``, which is not kept for the backward pass but made again there.

        So little work is it to make the output of a norm or an activation again, and so large is it.

        Args:
            function: A module or a function without draws, float (..., J) to float (..., I).
            values: float (..., J).

        Returns:
            float (..., O).
        """
        if not keeps_less() or values.is_meta:  # where operations are counted
            return self(function(values))
        trained = function.parameters() if isinstance(function, nn.Module) else ()
        return _After.apply(self, function, values, self.weight, self.bias, *trained)


_keeps_less = ContextVar('keeps_less', default=True)
_AS_IT_IS = nn.Identity()


def keeps_less() -> bool:
    """Tell whether what takes little time is made again in the backward pass; a compiler chooses by itself."""
    return torch.is_grad_enabled() and _keeps_less.get() and not torch.compiler.is_compiling()


@contextmanager
def keeping_all() -> Iterator[None]:
    """Keep what ``Linear.after`` would make again, where a whole block is computed again anyway."""
    token = _keeps_less.set(False)
    try:
        yield
    finally:
        _keeps_less.reset(token)


class _After(torch.autograd.Function):
    """See ``Linear.after``.

    To the gradient of a weight that this makes those of its other uses are added in place: shared layers have three,
    and PyTorch's own would take a new tensor for the first sum, whose pages take a CPU longer than the sum.
    """

    @staticmethod
    def forward(
        context: Any, layer: Any, function: Callable, values: Tensor, weight: Tensor, bias: Tensor, *trained: Tensor
    ) -> Tensor:
        """Map float (..., J) to float (..., O), keeping ``values`` and what is trained alone."""
        device = values.device.type
        context.function, context.device = function, device
        context.autocast = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        context.save_for_backward(values, weight, *trained)
        return layer(function(values))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Make the output of the function again, and return the gradients of the arguments of ``forward``."""
        values, weight, *trained = context.saved_tensors
        enabled, dtype = context.autocast
        wanted = context.needs_input_grad
        with torch.autocast(context.device, dtype, enabled):
            with torch.enable_grad():
                source = values.detach().requires_grad_(wanted[2])
                # Not by __call__: a hook of a module may ask for a whole backward pass, which this is not.
                made = getattr(context.function, 'forward', context.function)(source)
            rows = gradient.reshape(-1, gradient.shape[-1])
            of_weight = rows.T @ made.detach().reshape(-1, made.shape[-1]) if wanted[3] else None
            of_bias = rows.sum(0) if wanted[4] else None
            inner = [one for one, needed in zip((source, *trained), (wanted[2], *wanted[5:])) if needed]
            found = iter(torch.autograd.grad(made, inner, (gradient @ weight).to(made.dtype)) if inner else ())
        of_values, *of_trained = (next(found) if needed else None for needed in (wanted[2], *wanted[5:]))
        return None, None, of_values, of_weight, of_bias, *of_trained
