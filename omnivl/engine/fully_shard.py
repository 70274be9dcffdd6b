"""Weights, gradients and the optimizer's state in shards: FSDP2 (PyTorch's ``fully_shard``), block by block."""

import contextlib
import inspect
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast, get_world_size
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from omnivl.errors import OmniVLRuntimeError, OmniVLValueError
from omnivl.models.sharding import shard_blocks
from omnivl.registry import MODEL_WRAPPERS
from omnivl.storage.tensor_shards import is_sharded

from .data_parallel import signature_of
from .optim import PRECISIONS


@MODEL_WRAPPERS.register_module()
class FullyShard(nn.Module):
    """Shards the blocks of a model over all ranks: ``model_wrapper_cfg = dict(type='FullyShard')``.

    Each rank keeps a part of the matrices of every block (``omnivl/models/sharding.py``), of their gradients and of the
    optimizer's state for them, those of the momentum encoder too, which moves on the parts without any exchange. A
    block is gathered where it is used, while the one before it computes. What else there is (biases, norms, embeddings,
    tokenizers, heads, projections, the temperature, queues; a tenth of a ViT-B with BERT) stays whole on every rank,
    and its gradients are averaged in one exchange before the update.

    The numbers are those of DDP: weights and the sums of gradients are in full precision.

    Args:
        module: The model, on its device.
        param_dtype: ``'bf16'`` gathers matrices in bf16, in which autocast multiplies them anyway: half the traffic;
            goes with ``precision='bf16'`` of the optimizer wrapper.
        reshard_after_forward: Whether a block is let go of between forward and backward pass. Without, it takes more
            memory and a third less traffic.
        also: Names of classes to take for blocks that are none of ours (``Block`` of timm).

    Attributes:
        trained: The parameters that take a gradient, in their order.
        left_out: Those of them that got none in the steps of the last update; see ``AlternatingDataParallel``.

    Raises:
        OmniVLRuntimeError: This PyTorch is too old.
        OmniVLValueError: ``param_dtype`` is unknown, or the model has no blocks.
    """

    # Of FSDPModule, which fully_shard makes of it.
    set_requires_gradient_sync: Callable[[bool], None]

    def __init__(
        self,
        module: nn.Module,
        param_dtype: str | None = None,
        reshard_after_forward: bool = True,
        also: Collection[str] = (),
    ) -> None:
        super().__init__()
        if param_dtype not in (None, 'bf16'):
            raise OmniVLValueError(f"model_wrapper_cfg.param_dtype is {param_dtype!r}; allowed: None, 'bf16'")
        self.gathered_dtype = None if param_dtype is None else PRECISIONS[param_dtype]
        self.reshard_after_forward = reshard_after_forward
        self.module: Any = module
        self._shard(also)
        self.trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.left_out: list[nn.Parameter] = []

    def _shard(self, also: Collection[str]) -> None:
        fully_shard, policy = _fully_shard_of_torch()
        from torch.distributed.device_mesh import init_device_mesh

        # Keys and values, and what attention hands on, are views; nobody changes them in place.
        warnings.filterwarnings('ignore', message='FSDP2-wrapped module .* returned a view tensor')
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            broadcast(tensor.detach())  # ranks may have drawn different ones, see ``diff_rank_seed``
        device = next(self.module.parameters()).device
        options: dict[str, Any] = dict(mesh=init_device_mesh(device.type, (get_world_size(),)))
        # Autocast casts what a block gets, where that has to be.
        options['mp_policy'] = policy(self.gathered_dtype, torch.float32, cast_forward_inputs=False)
        self.blocks = shard_blocks(self.module, also, reshard_after_forward=self.reshard_after_forward, **options)
        for block in self.blocks:
            if not any(parameter.requires_grad for parameter in block.parameters()):
                # No backward pass would let go of it, and the momentum encoder moves on the parts.
                block.set_reshard_after_forward(True)
        rest = {parameter for parameter in self.module.parameters() if not is_sharded(parameter)}
        fully_shard(self, ignored_params=rest, **options)
        with torch.no_grad():
            self()  # what is called first is the root, for good

    @property
    def signature(self) -> int:
        """A number that is the same on ranks that left out the same parameters in the last update."""
        return signature_of(self.trained, self.left_out)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Call the model, where there is anything to call it with."""
        return self.module(*inputs, **options) if inputs or options else None

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Compute the losses of a batch and, where it ends an accumulation, update; returns what the log shows."""
        self.set_requires_gradient_sync(optim_wrapper.should_sync())
        with optim_wrapper.optim_context(self):
            data = self.module.data_preprocessor(data, training=True)
            losses = self(**data, mode='loss') if isinstance(data, dict) else self(*data, mode='loss')
        loss, log = self.module.parse_losses(losses)
        optim_wrapper.backward(optim_wrapper.scale_loss(loss))
        if optim_wrapper.should_update():
            self.left_out = [parameter for parameter in self.trained if parameter.grad is None]
            self._average_rest()
            from torch.distributed.tensor.experimental import implicit_replication

            with implicit_replication():  # whole and sharded parameters are in one group
                optim_wrapper.step()
            optim_wrapper.zero_grad()
        return log

    def val_step(self, data: Any) -> list:
        """Predict in a validation."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list:
        """Predict in a test."""
        return self.module.test_step(data)

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Let every rank have all weights while the block runs, to be read; it then needs no other rank.

        An evaluation may have more batches on one rank than on another, and calls any method of the model.
        """
        for block in self.blocks:
            block.set_reshard_after_forward(False)
            block.unshard()
        device = next(self.module.parameters()).device.type
        try:
            with torch.autocast(device, self.gathered_dtype, enabled=self.gathered_dtype is not None):
                yield
        finally:
            for block in self.blocks:
                block.reshard()
                trained = any(parameter.requires_grad for parameter in block.parameters())
                block.set_reshard_after_forward(self.reshard_after_forward or not trained)

    def _average_rest(self) -> None:
        """Average over the ranks the gradients of what is not sharded, all in one exchange."""
        gradients = [p.grad for p in self.trained if p.grad is not None and not is_sharded(p)]
        if not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        all_reduce(flat, 'mean')
        for gradient, average in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(average.view_as(gradient))


def gathered(model: nn.Module) -> contextlib.AbstractContextManager:
    """Let every rank have all weights of a model, in whatever wrapper, while the block runs."""
    return model.gathered() if isinstance(model, FullyShard) else contextlib.nullcontext()


def _fully_shard_of_torch() -> tuple[Any, Any]:
    """Return PyTorch's function and its class of precisions."""
    try:
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    except ImportError:
        found = False
    else:
        found = 'ignored_params' in inspect.signature(fully_shard).parameters
    if not found:
        raise OmniVLRuntimeError(
            f'model_wrapper_cfg.type=FullyShard needs fully_shard of torch 2.7 or later, this is {torch.__version__}'
        )
    return fully_shard, MixedPrecisionPolicy
