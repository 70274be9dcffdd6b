"""The momentum encoder (encoders and projections), and the three queues that it fills (MoCo, 1911.05722)."""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.storage.tensor_shards import local_part


class Candidates(NamedTuple):
    """What the anchors of the contrastive loss are compared with.

    Attributes:
        visual: Unit vectors, float (M, E), without gradient.
        text: Unit vectors, float (M, E), without gradient.
        target_ids: int64 (M,).
        valid: bool (M,), False for places of the queues that were never filled.
    """

    visual: Tensor
    text: Tensor
    target_ids: Tensor
    valid: Tensor


class MomentumEncoder(nn.Module):
    r"""Exponential moving average of some modules, :math:`\theta' \leftarrow m \theta' + (1 - m) \theta`.

    It stays in evaluation mode (no dropout in the features that fill the queues; BLIP's has dropout on) and its
    parameters take no gradient.

    Args:
        modules: What to follow, by name.
        momentum: m (0.995 in BLIP; the paper gives none).
        ramp: Start faster, m = min(momentum, (1 + n) / (2 + n)) after n updates: useful in runs so short that the
            average would otherwise never leave its random start.
    """

    num_updates: Tensor  # int64 ()

    def __init__(self, modules: Mapping[str, nn.Module], momentum: float = 0.995, ramp: bool = False) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise OmniVLValueError(f'momentum must be in [0, 1], got {momentum} (1 would never move, 0 has no memory)')
        self.momentum = momentum
        self.ramp = ramp
        self.averages = nn.ModuleDict({name: copy.deepcopy(module) for name, module in modules.items()})
        self.averages.requires_grad_(False)
        self.register_buffer('num_updates', torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> 'MomentumEncoder':
        """Stay in evaluation mode, whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def copy_from(self, modules: Mapping[str, nn.Module]) -> None:
        """Make the averages equal to the modules (after weights were loaded into these)."""
        for name, module in modules.items():
            self.averages[name].load_state_dict(module.state_dict())
        self.num_updates.zero_()

    @torch.no_grad()
    def update(self, modules: Mapping[str, nn.Module]) -> None:
        """Take one step towards the modules."""
        momentum = self.momentum
        if self.ramp:
            updates = int(self.num_updates)
            momentum = min(momentum, (1 + updates) / (2 + updates))
        own = [local_part(parameter) for name in modules for parameter in self.averages[name].parameters()]
        followed = [local_part(parameter) for module in modules.values() for parameter in module.parameters()]
        torch._foreach_lerp_(own, followed, 1 - momentum)
        for name, module in modules.items():  # statistics of batch norms, where an encoder has them
            for buffer, source in zip(self.averages[name].buffers(), module.buffers()):
                buffer.copy_(source)
        self.num_updates += 1


@MODELS.register_module()
class FeatureQueues(nn.Module):
    """The most recent visual features, text features and labels, in three ring buffers that move together.

    One set serves images and videos alike, since labels and texts are one space (the paper does not say).

    Args:
        embed_dim: Width E of the features.
        length: Number of places M (57600 in BLIP; the paper gives none). 0 for no queues.
    """

    visual: Tensor  # float (M, E)
    text: Tensor  # float (M, E)
    target_ids: Tensor  # int64 (M,)
    cursor: Tensor  # int64 (), the place of the next entry
    fill: Tensor  # int64 (), places that have been filled

    def __init__(self, embed_dim: int, length: int = 57600) -> None:
        super().__init__()
        if length < 0:
            raise OmniVLValueError(f'length must not be negative, got {length} (set queues.length)')
        self.length = length
        self.register_buffer('visual', torch.zeros(length, embed_dim))
        self.register_buffer('text', torch.zeros(length, embed_dim))
        # Distinct negative labels: places that were never filled match nothing, not even each other.
        self.register_buffer('target_ids', -1 - torch.arange(length))
        self.register_buffer('cursor', torch.zeros((), dtype=torch.int64))
        self.register_buffer('fill', torch.zeros((), dtype=torch.int64))

    @property
    def share_filled(self) -> Tensor:
        """Share of the places that have been filled, a scalar."""
        return self.fill.float() / max(self.length, 1)

    @torch.no_grad()
    def push(self, visual: Tensor, text: Tensor, target_ids: Tensor) -> None:
        """Put a batch in, over the oldest entries; it may cross the end of the buffer.

        Pairs of which a feature is not finite are left out, as the update of such a step is.

        Args:
            visual: float (B, E); of a batch larger than the queue only the last M samples are kept.
            text: float (B, E).
            target_ids: int64 (B,).
        """
        if not self.length:
            return
        count = min(len(target_ids), self.length)
        visual, text, target_ids = visual[-count:].to(self.visual), text[-count:].to(self.text), target_ids[-count:]
        good = visual.isfinite().all(1) & text.isfinite().all(1)
        # How many are good only the device knows: these go first, and the places after them get what they have.
        order = torch.argsort(~good, stable=True)
        places = (self.cursor + torch.arange(count, device=target_ids.device)) % self.length
        good = good[order]
        for queue, new in ((self.visual, visual), (self.text, text), (self.target_ids, target_ids)):
            kept = good if queue.ndim == 1 else good[:, None]
            queue.index_copy_(0, places, torch.where(kept, new[order], queue[places]))
        added = good.sum()
        self.cursor.add_(added).remainder_(self.length)
        self.fill.add_(added).clamp_(max=self.length)

    def candidates(self, visual: Tensor, text: Tensor, target_ids: Tensor) -> Candidates:
        """Join the current momentum features (of all ranks) with the queues: the features that UniVLC compares with.

        The queues are copied, so that a later ``push`` does not change what the backward pass needs.
        """
        filled = torch.arange(self.length, device=target_ids.device) < self.fill
        return Candidates(
            visual=torch.cat([visual.to(self.visual), self.visual]),
            text=torch.cat([text.to(self.text), self.text]),
            target_ids=torch.cat([target_ids, self.target_ids]),
            valid=torch.cat([torch.ones_like(target_ids, dtype=torch.bool), filled]),
        )
