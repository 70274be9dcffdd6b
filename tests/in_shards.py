"""A step of FSDP2 on a rank, for tests that hold it against one process."""

import torch
from torch import Tensor, nn

from omnivl.engine import PrecisionOptimWrapper
from omnivl.engine.fully_shard import FullyShard
from omnivl.storage.tensor_shards import is_sharded, whole
from omnivl.structures import VLBatch


class AsItIs(nn.Module):
    """In the place of the data preprocessor."""

    def forward(self, batch: VLBatch, training: bool) -> tuple[VLBatch]:
        return (batch,)


def gradients_in_shards(model: nn.Module, own: VLBatch) -> dict[str, Tensor]:
    """Shard a model, take a step at a learning rate of 1, and return what it took from the weights, whole.

    These are the gradients of the batches of all ranks, of which ``own`` is this one's.
    """
    model.data_preprocessor = AsItIs()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    wrapped = FullyShard(model)
    assert any(is_sharded(parameter) for parameter in model.parameters())
    wrapped.train_step(own, PrecisionOptimWrapper(torch.optim.SGD(list(model.parameters()), lr=1.0)))
    now = whole({name: parameter for name, parameter in model.named_parameters() if name in trained})
    return {name: before[name] - now[name] for name in trained}
