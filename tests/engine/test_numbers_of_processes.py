"""One, two, three and four processes on one global batch: the same losses through both stages."""

from pathlib import Path

import pytest
import stages
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.model import MMDistributedDataParallel
from runs import run_ranks
from torch import Tensor, nn

from omnivl.engine.distributed import init_process_group, wrap_distributed
from omnivl.engine.optim import PrecisionOptimWrapper
from omnivl.models.losses import MatchingPairs, matching_pairs
from omnivl.storage import load_checkpoint, save_checkpoint

SIZE, STEPS = 12, 4  # samples of a global batch, steps of each stage
# Partners that are in one rank's part, whether there are two, three or four; the samples 3 and 8 have none.
PARTNERS = torch.tensor([1, 2, 0, 0, 5, 4, 7, 6, 0, 10, 11, 9])


def given_pairs(*features: Tensor) -> MatchingPairs:
    """The pairs of this rank's part of the batch."""
    count = SIZE // get_world_size()
    own = torch.arange(get_rank() * count, (get_rank() + 1) * count)
    valid = (own != 3) & (own != 8)
    partners = torch.where(valid, PARTNERS[own] - own[0], 0)
    return matching_pairs((partners, valid), (partners, valid))


class OneProcess(nn.Module):
    """A model in no wrapper, with the step of one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def train_step(self, batch: object, wrapper: PrecisionOptimWrapper) -> dict:
        return self.module.train_step(batch, wrapper)


def run(folder: Path, config: dict, batches: list) -> None:
    """Train with given and with drawn negatives; the first rank writes down what was logged."""
    several = get_world_size() > 1
    found = {}
    for kind in ('given', 'drawn'):
        model = stages.build(config)
        if kind == 'given':
            model.negatives.forward = given_pairs
        wrap = (lambda model: wrap_distributed(model, MMDistributedDataParallel, {})) if several else OneProcess
        found[kind] = stages.train_stages(model, wrap, batches, lr=0.02)
    if get_rank() == 0:
        save_checkpoint(found, folder / f'{get_world_size()}.pth')


def on_ranks(folder: Path, config: dict, batches: list) -> None:
    init_process_group('pytorch')
    run(folder, config, batches)


@pytest.mark.slow
def test_any_number_of_processes_has_the_losses_of_one(tiny_config, random_batch, tmp_path):
    """With negatives drawn from all ranks the draws are those of one process, too."""
    config = tiny_config(trunk=dict(depth=1), negatives=dict(type='HardNegatives', all_ranks=True))
    tasks = ['image'] * STEPS + ['video', 'image'] * (STEPS // 2)
    targets = [0, 1, 2, 1, 3, 4, 5, 6, 4, 7, 8, 9]
    batches = [
        random_batch(size=SIZE, modality=task, frames=None if task == 'image' else 2, seed=number, targets=targets)
        for number, task in enumerate(tasks)
    ]
    run(tmp_path, config, batches)
    expected = load_checkpoint(tmp_path / '1.pth')
    assert len(expected['drawn']) == 2 * STEPS and expected['given'] != expected['drawn']
    for ranks in (2, 3, 4):
        run_ranks(on_ranks, tmp_path, config, batches, ranks=ranks, seconds=300)
        found = load_checkpoint(tmp_path / f'{ranks}.pth')
        for kind, history in found.items():
            for step, (one, other) in enumerate(zip(history, expected[kind])):
                assert one.keys() == other.keys()
                for key in set(one) - {'matching_left_out'}:  # which each rank counts
                    assert abs(one[key] - other[key]) < 1e-4, (ranks, kind, step, key)
