"""Two gloo processes with half the batch each against one process with all of it."""

import pytest
import torch
import torch.distributed
from forked import run_ranks
from torch.nn.parallel import DistributedDataParallel

from omnivl.models.losses import matching_pairs
from omnivl.registry import MODELS
from omnivl.structures import VLBatch

SIZE, STEPS = 6, 3
# Negatives within the half that a sample belongs to, as a process draws them from its own batch.
NEGATIVES = torch.tensor([1, 2, 0, 5, 3, 4])


def slice_batch(batch, start, stop):
    return VLBatch(
        {batch.modality: batch.frames[start:stop]},
        text_ids=batch.text_ids[start:stop],
        text_mask=batch.text_mask[start:stop],
        target_ids=batch.target_ids[start:stop],
    )


def train(config, batches, rank=None):
    """A few steps of SGD; returns losses of every step and the gradients of the last one."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = MODELS.build(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    half = SIZE // 2
    negatives = NEGATIVES if rank is None else NEGATIVES[rank * half : (rank + 1) * half] - rank * half
    # One row of the first half has no negative: the halves then count differently many pairs.
    valid = torch.arange(SIZE) != 1 if rank is None else torch.arange(SIZE)[rank * half : (rank + 1) * half] != 1
    model.negatives.forward = lambda *_: matching_pairs((negatives, valid), (negatives, valid))
    wrapped = model if rank is None else DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    history = []
    for batch in batches:
        part = batch if rank is None else slice_batch(batch, rank * half, (rank + 1) * half)
        losses = wrapped(part, mode='loss')
        optimizer.zero_grad()
        sum(value for key, value in losses.items() if 'loss' in key).backward()
        history.append({key: value.detach() for key, value in losses.items()})
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        optimizer.step()
    return history, gradients, model.queues.state_dict()


def work(config, batches, folder):
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    torch.save(train(config, batches, rank), folder / f'{rank}.pt')
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize('share', ['blip', 'none'])
def test_two_processes_equal_one(share, tiny_config, random_batch, tmp_path):
    config = tiny_config(trunk=dict(share=share))
    batches = [
        random_batch(size=SIZE, modality=modality, seed=seed, targets=[0, 1, 2, 1, 3, 4])
        for seed, modality in enumerate(('image', 'video', 'image'))
    ]
    run_ranks(work, config, batches, tmp_path)
    history, gradients, queues = train(config, batches)
    halves = [torch.load(tmp_path / f'{rank}.pt', weights_only=True) for rank in (0, 1)]
    for step, expected in enumerate(history):
        for key, value in expected.items():
            got = [half[0][step][key] for half in halves]
            joined = sum(got) if key == 'matching_left_out' else sum(got) / 2
            assert torch.allclose(joined, value, atol=1e-5), (step, key)
    for half in halves:
        assert half[1].keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert (half[1][name] - gradient).abs().max() <= 1e-5, name
        for name, value in queues.items():
            assert torch.allclose(half[2][name].float(), value.float(), atol=1e-5), name
