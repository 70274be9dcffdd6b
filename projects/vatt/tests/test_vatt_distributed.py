"""Two gloo processes with half the batch each against one with all of it: losses, gradients, batch norm.

By DDP, and with weights in shards.
"""

import pytest
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel
from vatt_world import make_batch, make_model, without_dropout

from omnivl.structures import VLBatch
from projects.vatt.model import CrossReplicaBatchNorm
from tests.forked import run_ranks
from tests.in_shards import gradients_in_shards

KINDS = dict(separate=dict(), shared=dict(shared=True))


def make_part(changes, rank=None):
    """A model, and a batch of six or a rank's half of it; the halves differ in texts."""
    torch.set_num_threads(1)
    model, batch = without_dropout(make_model(**changes)), make_batch(count=6)
    rows, texts = slice(None), slice(None)
    if rank is not None:
        rows, texts = slice(3 * rank, 3 * rank + 3), slice(9 * rank, 9 * rank + 9)
    own = VLBatch(
        {name: values[rows] for name, values in batch.inputs.items()},
        masks={name: mask[rows] for name, mask in batch.masks.items()},
        text_ids=batch.text_ids[texts],
        text_mask=batch.text_mask[texts],
    )
    return model, own


def train(changes, rank=None):
    """Losses, gradients and running statistics of the batch, or of a rank's half."""
    model, own = make_part(changes, rank)
    wrapped = model if rank is None else DistributedDataParallel(model)
    losses = wrapped(own, mode='loss')
    sum(losses.values()).backward()
    gradients = {name: one.grad for name, one in model.named_parameters() if one.requires_grad}
    return {name: value.detach() for name, value in losses.items()}, gradients, running_of(model)


def running_of(model):
    return {name: one for name, one in model.named_buffers() if 'running' in name}


def train_in_shards(changes, rank):
    model, own = make_part(changes, rank)
    return gradients_in_shards(model, own), running_of(model)


def work(folder):
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    found = {kind: (*train(changes, rank), *train_in_shards(changes, rank)) for kind, changes in KINDS.items()}
    torch.save(found, folder / f'{rank}.pt')
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_losses_gradients_and_statistics_of_one(tmp_path):
    run_ranks(work, tmp_path)
    ranks = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    for kind, changes in KINDS.items():
        losses, gradients, running = train(changes)
        for name, value in losses.items():
            assert torch.allclose(sum(found[kind][0][name] for found in ranks) / 2, value, atol=1e-5)
        for found in ranks:
            for own, expected in zip(found[kind][1:], 2 * (gradients, running)):
                assert own.keys() == expected.keys()
                assert all(torch.allclose(own[name], value, atol=1e-5) for name, value in expected.items())


def test_in_one_process_it_is_a_usual_batch_norm():
    torch.manual_seed(0)
    own, usual = CrossReplicaBatchNorm(5, momentum=0.1), torch.nn.BatchNorm1d(5, momentum=0.1)
    vectors = torch.randn(8, 5)
    for mode in (True, False):
        assert torch.allclose(own.train(mode)(vectors), usual.train(mode)(vectors))
    assert torch.allclose(own.running_var, usual.running_var)
    assert own.num_batches_tracked == 1


def test_half_precision_gives_nearly_the_same_losses():
    model, batch = without_dropout(make_model(shared=True)), make_batch()
    full = model.loss(batch)
    with torch.autocast('cpu', torch.bfloat16):
        half = model.loss(batch)
    for name, value in full.items():
        assert half[name].dtype == torch.float32
        assert half[name].item() == pytest.approx(value.item(), rel=0.1)
    sum(half.values()).backward()
    assert all(one.grad.isfinite().all() for one in model.parameters() if one.requires_grad)
