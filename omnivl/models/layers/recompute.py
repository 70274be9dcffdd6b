"""Running layers, and what of their activations is computed again in the backward pass."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from omnivl.errors import OmniVLValueError

from .attention import KeyValue
from .linear import keeping_all

# Whether nothing, everything, or all but matrix products and attention is computed again.
Recompute = bool | Literal['selective']
_aten = torch.ops.aten
_ATTENTION = frozenset(
    (
        _aten._scaled_dot_product_flash_attention.default,
        _aten._scaled_dot_product_flash_attention_for_cpu.default,
        _aten._scaled_dot_product_efficient_attention.default,
        _aten._scaled_dot_product_cudnn_attention.default,
    )
)


def check_recompute(recompute: Recompute) -> Recompute:
    """Return what ``activation_checkpointing`` is, if it may be that."""
    if recompute not in (False, True, 'selective'):
        raise OmniVLValueError(f"activation_checkpointing must be False, True or 'selective', got {recompute!r}")
    return recompute


def run_block(block: Callable[..., Any], *arguments: Any, recompute: Recompute = False, **options: Any) -> Any:
    """Call a block, and keep of its activations what ``recompute`` says.

    ``True`` keeps its inputs alone, which costs another forward pass. ``'selective'`` (2205.05198) keeps what takes
    long to compute, too: of attention and of matrix products that do not narrow the tokens; norms, activation
    functions, dropout, residuals and copies of keys are computed again. Numbers and random draws are the same.

    Args:
        block: The block.
        *arguments: Of its call.
        recompute: False, True or ``'selective'``; False outside of training.
        **options: Of its call.

    Returns:
        What the block returns.
    """
    if not recompute:
        return block(*arguments, **options)
    if recompute == 'selective':
        options['context_fn'] = partial(create_selective_checkpoint_contexts, _policy)
        block = partial(_without_cast_weights, block)
    return checkpoint(partial(_keeping_all, block), *arguments, use_reentrant=False, **options)


def run_in_parts(function: Callable[..., tuple[Tensor, ...]], count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Call a function on ``count`` parts of a batch, one after the other, and join what it returns.

    In training each part keeps its inputs alone and is computed again in the backward pass, with the same draws: a
    gradient cache (2101.06983), since what is joined can be compared across parts, and no more than one part's
    activations are there at a time.

    Args:
        function: Called with the parts of the tensors; what it returns has one row for each row of theirs.
        count: Number of parts; 1 calls it as it is.
        *tensors: Of one length B.

    Returns:
        What the function returns of the whole batch.
    """
    if count == 1:
        return function(*tensors)
    parts = [checkpoint(function, *part, use_reentrant=False) for part in zip(*(one.chunk(count) for one in tensors))]
    return tuple(torch.cat(outputs) for outputs in zip(*parts))


def run_layers(
    layers: Iterable[Callable[..., tuple[Tensor, KeyValue]]],
    tokens: Tensor,
    key_values: Sequence[KeyValue] | None = None,
    past: Sequence[KeyValue] | None = None,
    recompute: Recompute = False,
    **options: Any,
) -> tuple[Tensor, list[KeyValue]]:
    """Run layers one after the other, as many as ``key_values`` has pairs.

    Args:
        layers: Called as ``TransformerLayer`` is.
        tokens: float (N, L, D).
        key_values: What each layer looks up, each (B, h, S, d); None = nothing.
        past: Self-attention cache of each layer, each (N, h, L_past, d); None = there is none.
        recompute: See ``run_block``.
        **options: Further arguments of every layer.

    Returns:
        float (N, L, D), and the self-attention cache of every layer.
    """
    present = []
    seen = repeat(None) if key_values is None else key_values
    for layer, key_value, before in zip(layers, seen, past or repeat(None)):
        tokens, kept = run_block(layer, tokens, key_value, past=before, recompute=recompute, **options)
        present.append(kept)
    return tokens, present


def _keeping_all(block: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with keeping_all():
        return block(*arguments, **options)


def _without_cast_weights(block: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a block so that autocast casts each weight anew: which are there already differs when it is called again."""
    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        return block(*arguments, **options)
    finally:
        torch.set_autocast_cache_enabled(cached)


def _policy(context: Any, operator: Any, *arguments: Any, **options: Any) -> CheckpointPolicy:
    if operator in (_aten.mm.default, _aten.addmm.default):
        rows, columns = arguments[-1].shape
        keep = columns >= rows
    else:
        keep = operator in _ATTENTION
    return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE
