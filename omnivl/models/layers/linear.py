"""Linear layers whose weights can be packed, for the steps of a decoder on a CPU.

PyTorch multiplies float32 matrices on x86 processors with MKL, though it has oneDNN aboard, which it takes for half
precision, convolutions and compiled models. Measured on an AMD EPYC (Zen 5), oneDNN with packed weights needs 40 % of
the time for the dozen rows of a beam search, where most of the work is to read the weights. The two differ in the last
bits, so nothing but a decoder that was told to pack (``GenerationDecoder.packed``) takes this way. The operators are no
public interface: where they are missing or do something else, ``onednn_works`` says so and nothing is packed. What it
gains, ``tools/benchmarks/generation.py`` shows with and without (``--plain``).
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

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


def _linear_flops(values: torch.Size, weight: torch.Size, *_: object, **__: object) -> int:
    """Count for ``FlopCounterMode``, which knows PyTorch's usual way only."""
    return 2 * values.numel() * weight[0]


if hasattr(torch.ops.mkldnn, '_linear_pointwise'):
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_linear_flops)


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
    return F.linear(values, weight, bias)


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
