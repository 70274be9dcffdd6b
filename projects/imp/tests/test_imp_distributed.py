"""Two gloo processes with half of the samples each against one with all of them: contrast, classes and experts.

By DDP, and with weights in shards, those of the experts too.
"""

import torch
import torch.distributed
from imp_world import make_batch, make_model, part_of, write_vocabulary
from torch.nn.parallel import DistributedDataParallel

from tests.forked import run_ranks
from tests.in_shards import gradients_in_shards

COUNT = 6


def make_part(folder, rank=None):
    """A model, and six samples or a rank's half of them; a group of experts has tokens of one half alone."""
    torch.set_num_threads(1)
    tasks = dict(labels=dict(classes=['red', 'blue circle', 'green']))
    model = make_model(options=dict(tasks=tasks), vocab_file=folder / 'vocab.txt').train()
    batch = make_batch(count=COUNT, labels=torch.tensor([0, 2, 1, 1, 0, 2]), task='labels')
    half = COUNT // 2
    return model, batch if rank is None else part_of(batch, slice(half * rank, half * (rank + 1)))


def train(folder, rank=None):
    """Losses and gradients of the samples, or of a rank's half."""
    model, own = make_part(folder, rank)
    wrapped = model if rank is None else DistributedDataParallel(model)
    losses = wrapped(own, mode='loss')
    sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
    return {name: value.detach() for name, value in losses.items()}, {n: p.grad for n, p in model.named_parameters()}


def work(folder):
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    in_shards = gradients_in_shards(*make_part(folder, rank))
    torch.save((*train(folder, rank), in_shards), folder / f'{rank}.pt')
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_losses_and_the_gradients_of_one(tmp_path):
    write_vocabulary(tmp_path)
    run_ranks(work, tmp_path)
    ranks = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    losses, gradients = train(tmp_path)
    for name, value in losses.items():  # the second sample is silent: the halves do not count the same
        assert torch.allclose(sum(found[0][name] for found in ranks) / 2, value, atol=1e-5)
    for _, *both in ranks:
        for found in both:
            assert found.keys() == gradients.keys()
            assert all(torch.allclose(found[name], value, atol=1e-5) for name, value in gradients.items())
