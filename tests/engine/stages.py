"""Both stages of a pretraining on a tiny model, on any number of processes that share one global batch."""

from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from torch import nn

from omnivl.engine import PrecisionOptimWrapper
from omnivl.registry import MODELS
from omnivl.structures import VLBatch

IMAGES, JOINT = ['image', 'image'], ['video', 'image', 'image', 'video']


class Given(nn.Module):
    """In the place of a data preprocessor: takes a batch as it is."""

    def forward(self, batch: object, training: bool) -> dict:
        return dict(batch=batch)


def part_of(batch: VLBatch) -> VLBatch:
    """What this rank has of the global batch, padded to its own longest text."""
    size = len(batch) // get_world_size()
    own = slice(get_rank() * size, (get_rank() + 1) * size)
    length = int(batch.text_mask[own].sum(1).max())
    texts = dict(text_ids=batch.text_ids[own, :length], text_mask=batch.text_mask[own, :length])
    return VLBatch({batch.modality: batch.frames[own]}, target_ids=batch.target_ids[own], **texts)


def build(config: dict, seed: int = 0) -> nn.Module:
    """Build a model whose every path counts: the temporal one starts at zero else."""
    torch.manual_seed(seed)
    model = MODELS.build(config).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.data_preprocessor = Given()
    return model


def train_stages(
    model: nn.Module, wrap: Callable[[nn.Module], nn.Module], batches: list[VLBatch], lr: float = 0.05, **options: Any
) -> list[dict[str, float]]:
    """Train on global batches, one step each; returns what each step logged, averaged over the ranks."""
    wrapped = wrap(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=lr, momentum=0.9, weight_decay=0.01)
    wrapper = PrecisionOptimWrapper(optimizer, **options)
    history = []
    for number, batch in enumerate(batches):
        torch.manual_seed(number)  # of the draws of negatives
        log = {key: float(value) for key, value in wrapped.train_step(part_of(batch), wrapper).items()}
        ranks = all_gather_object(log)
        history.append({key: sum(one[key] for one in ranks) / len(ranks) for key in log})
    return history
