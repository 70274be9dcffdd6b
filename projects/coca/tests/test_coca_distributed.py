"""Two gloo processes with half the batch each against one process with all of it, in full and in half precision."""

import pytest
import torch
import torch.distributed
from coca_world import make_batch, make_model
from torch.nn.parallel import DistributedDataParallel

from omnivl.structures import VLBatch
from tests.forked import run_ranks
from tests.in_shards import gradients_in_shards

KINDS = dict(cascade={}, single=dict(kind='single', pool='cls_shifted', between=True))


def make_part(rank=None):
    """A batch of six, or a rank's half of it; texts of its halves differ in length."""
    batch, part = make_batch(count=6), slice(None) if rank is None else slice(3 * rank, 3 * rank + 3)
    return VLBatch({'image': batch.frames[part]}, text_ids=batch.text_ids[part], text_mask=batch.text_mask[part])


def train(changes, rank=None):
    """Losses and gradients of the batch, or of a rank's half of it."""
    torch.set_num_threads(1)
    model = make_model(**changes).train()
    wrapped = model if rank is None else DistributedDataParallel(model)
    losses = wrapped(make_part(rank), mode='loss')
    sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
    return {name: value.detach() for name, value in losses.items()}, {n: p.grad for n, p in model.named_parameters()}


def work(folder):
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    found = {}
    for kind, changes in KINDS.items():
        in_shards = gradients_in_shards(make_model(**changes).train(), make_part(rank))
        found[kind] = (*train(changes, rank), in_shards)
    torch.save(found, folder / f'{rank}.pt')
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_losses_and_the_gradients_of_one(tmp_path):
    run_ranks(work, tmp_path)
    ranks = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    for kind, changes in KINDS.items():
        losses, gradients = train(changes)
        for name, value in losses.items():
            assert torch.allclose(sum(found[kind][0][name] for found in ranks) / 2, value, atol=1e-5)
        for found in ranks:
            assert found[kind][1].keys() == gradients.keys()
            for own in found[kind][1:]:  # of DDP, and in shards
                assert all(torch.allclose(own[name], value, atol=1e-5) for name, value in gradients.items())


def test_half_precision_gives_nearly_the_same_losses():
    model, batch = make_model().train(), make_batch()
    full = model.loss(batch)
    with torch.autocast('cpu', torch.bfloat16):
        half = model.loss(batch)
        assert half['loss_contrast'].dtype == half['loss_lm'].dtype == torch.float32
    for name in ('loss_contrast', 'loss_lm'):
        assert half[name].item() == pytest.approx(full[name].item(), rel=0.05)
    sum(half[name] for name in ('loss_contrast', 'loss_lm')).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_recomputed_activations_give_the_same_gradients():
    batch, gradients = make_batch(), []
    for recompute in (False, True):
        model = make_model().train()
        for part in ('visual_encoder', 'text_encoder', 'text_decoder'):
            getattr(model.trunk, part).activation_checkpointing = recompute
        sum(value for name, value in model.loss(batch).items() if name.startswith('loss_')).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients))
