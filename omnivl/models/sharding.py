"""Which parts of a model are gathered as one where its weights are sharded (PyTorch's ``fully_shard``)."""

from collections.abc import Collection
from typing import Any, ClassVar

from torch import nn

from omnivl.errors import OmniVLValueError


class Block(nn.Module):
    """A part of a model, one of many alike, whose weights are used inside its own methods only.

    Attributes:
        entries: The methods by which it is used from outside. Where weights are sharded, those of the block are
            gathered when one of them begins and let go of when it ends, and again in the backward pass.
    """

    entries: ClassVar[tuple[str, ...]] = ('forward',)


def blocks_of(model: nn.Module, also: Collection[str] = ()) -> list[nn.Module]:
    """List the blocks of a model; see ``shard_blocks``."""
    names = {type(module).__name__ for module in model.modules()}
    if unknown := sorted(set(also) - names):
        raise OmniVLValueError(f'model_wrapper_cfg.also names {unknown}; the model has modules of {sorted(names)}')
    blocks = [module for module in model.modules() if isinstance(module, Block) or type(module).__name__ in also]
    if not blocks:
        raise OmniVLValueError(
            f'{type(model).__name__} has no Block (omnivl/models/sharding.py) that could be sharded; name the classes '
            f'of its blocks in model_wrapper_cfg.also, of {sorted(names)}'
        )
    return blocks


def matrices_of(model: nn.Module) -> list[nn.Parameter]:
    """List what ``shard_blocks`` cuts into parts, each once."""
    found = (parameter for block in blocks_of(model) for parameter in block.parameters() if parameter.ndim >= 2)
    return list(dict.fromkeys(found))


def shard_blocks(model: nn.Module, also: Collection[str] = (), **options: Any) -> list[Any]:
    """Shard the matrices of each block of a model, block by block and in place; everything else stays whole.

    Biases and norms are little, and in full precision where matrices are gathered in bf16. Blocks that several parts
    share are sharded once.

    Args:
        model: The model, on its device; the momentum encoder's blocks are blocks, too.
        also: Names of further classes of modules to take for blocks, which are used by ``forward`` alone.
        **options: Of ``torch.distributed.fsdp.fully_shard``.

    Returns:
        The blocks, which are ``FSDPModule`` now.

    Raises:
        OmniVLValueError: There is no block, or none of a class in ``also``.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    blocks: list[Any] = blocks_of(model, also)
    for block in blocks:
        vectors = {parameter for parameter in block.parameters() if parameter.ndim < 2}
        fully_shard(block, ignored_params=vectors, **options)
        for entry in block.entries if isinstance(block, Block) else ():
            if entry != 'forward':  # which has its hooks
                register_fsdp_forward_method(block, entry)
    return blocks
