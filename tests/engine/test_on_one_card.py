"""What a GPU does otherwise than a CPU: its generators in a resumed run, nccl, shards on one card.

The same functions run on the CPU, over gloo, so that they are right where no GPU is at hand.
"""

import pytest
import stages
import torch
from mmengine.model import MMDistributedDataParallel
from runs import assert_same_run, run_ranks, train
from torch import nn

from omnivl.engine.distributed import init_process_group, wrap_distributed
from omnivl.engine.fully_shard import FullyShard
from omnivl.engine.optim import PrecisionOptimWrapper
from omnivl.models.sharding import Block
from omnivl.storage.tensor_shards import whole

DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)]


class Layer(Block):
    """A layer that can be sharded."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, points):
        return self.linear(points).tanh()


class Tiny(nn.Module):
    """Two layers and a loss, in MMEngine's terms."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(Layer(), Layer())
        self.data_preprocessor = stages.Given()

    def forward(self, batch, mode):
        return dict(loss=self.layers(batch).square().mean())

    def parse_losses(self, losses):
        return losses['loss'], losses


def updates_alone_and_wrapped(device: str, precision: str) -> None:
    """One process in a group of its own: the weights after two steps are those without a wrapper."""
    init_process_group('pytorch', backend='nccl' if device == 'cuda' else 'gloo')
    found = []
    for wrap in (
        None,
        lambda model: wrap_distributed(model, MMDistributedDataParallel, {}),
        FullyShard,
    ):
        torch.manual_seed(0)
        model = Tiny().to(device)
        batches = torch.randn(2, 3, 4).to(device)
        wrapped = model if wrap is None else wrap(model)
        wrapper = PrecisionOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), precision=precision)
        for batch in batches:
            if wrap is None:
                with wrapper.optim_context(model):
                    loss = model(batch, 'loss')['loss']
                wrapper.update_params(loss)
            else:
                wrapped.train_step(batch, wrapper)
        found.append(whole(dict(model.named_parameters())))
    for other in found[1:]:
        for name, value in found[0].items():
            assert torch.allclose(value, other[name], atol=1e-6 if precision == 'fp32' else 1e-3), name
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
@pytest.mark.parametrize('device', DEVICES)
def test_one_process_in_a_group_is_one_process(device, precision):
    run_ranks(updates_alone_and_wrapped, device, precision, ranks=1)


@pytest.mark.gpu
def test_a_run_on_a_gpu_is_resumed_bit_for_bit(tmp_path):
    runner = train(tmp_path / 'whole', 'gpu-0')
    assert next(runner.model.parameters()).is_cuda  # its dropout draws from the card's generator
    train(tmp_path / 'parts', 'gpu-1', stop=dict(after=5))
    train(tmp_path / 'parts', 'gpu-2', resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)
