"""DDP for tasks that alternate: a step may leave parameters out, and nobody searches its graph for them."""

import zlib
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from omnivl.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class AlternatingDataParallel(MMDistributedDataParallel):
    """Averages gradients over the ranks, whatever a step leaves out, as an image step does the temporal path.

    DDP waits for the gradient of every parameter. Its ``find_unused_parameters=True`` finds those that will get none by
    a walk through the graph of each step, and asks all ranks about them. Here the loss is tied to every parameter by an
    edge that carries no gradient, so those of which the backward pass has no more to say are ready at once, and the
    others when they would be anyway. Such a parameter keeps the gradient None as with the search, so that the optimizer
    passes over it: zeros would be decayed, and move by their momentum.

    What a step leaves out must depend on its task alone, so that all ranks, which are on one task at a time, leave out
    the same. The train loop compares ``signature`` to be sure.

    Args:
        module: The model, on its device.
        **options: See ``torch.nn.parallel.DistributedDataParallel``.

    Attributes:
        trained: The parameters that take a gradient, in their order.
        left_out: Those of them that got none in the steps of the last update.
    """

    def __init__(self, module: nn.Module, **options: Any) -> None:
        super().__init__(module, **options)
        self.trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.left_out: list[Tensor] = []
        self.register_comm_hook(torch_dist.group.WORLD, self._average)
        self._order_buckets()

    @property
    def signature(self) -> int:
        """A number that is the same on ranks that left out the same parameters in the last update."""
        return signature_of(self.trained, self.left_out)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Compute the losses of a batch and, where it ends an accumulation, update; returns what the log shows."""
        with optim_wrapper.optim_context(self):
            data = self.module.data_preprocessor(data, training=True)
            losses = self._run_forward(data, mode='loss')
        loss, log = self.module.parse_losses(losses)
        self.left_out = []
        optim_wrapper.backward(_Reach.apply(optim_wrapper.scale_loss(loss), *self.trained))
        if optim_wrapper.should_update():
            for parameter in self.left_out:
                parameter.grad = None  # DDP leaves zeros
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        return log

    def _average(self, group: torch_dist.ProcessGroup, bucket: torch_dist.GradBucket) -> torch.futures.Future[Tensor]:
        """Do as DDP by itself does; before it, gradients of this rank alone are what the parameters have."""
        self.left_out += [parameter for parameter in bucket.parameters() if parameter.grad is None]
        return allreduce_hook(group, bucket)

    def _order_buckets(self) -> None:
        """Let DDP lay out its buckets from the last parameter to the first, as a backward pass through all goes.

        It goes by the first pass that it sees. What the first step leaves out would be in the buckets that are sent
        first, and all others wait for these where a step has them.
        """
        model: nn.Module = self.module
        start = torch.zeros((), device=self.trained[0].device, requires_grad=True)
        model.forward = lambda: start
        try:
            loss = self()
        finally:
            del model.forward  # that of the class again
        for parameter in self.trained:  # one after the other: edges of one node are followed in no certain order
            loss = _Reach.apply(loss, parameter)
        loss.backward()
        for parameter in self.trained:
            parameter.grad = None
        self.left_out = []


class _Reach(torch.autograd.Function):
    """Return the first argument; in the backward pass the others, too, are reached, by no gradient."""

    @staticmethod
    def forward(context: Any, loss: Tensor, *parameters: Tensor) -> Tensor:
        context.number = len(parameters)
        return loss.view_as(loss)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient, *[None] * context.number


def signature_of(trained: Iterable[Tensor], left_out: Iterable[Tensor]) -> int:
    """Return a checksum, 32 bits, of the places that some parameters have among others."""
    missing = {id(parameter) for parameter in left_out}
    return zlib.crc32(bytes(id(parameter) in missing for parameter in trained))
