"""Several tasks in one step, whose losses are added up: what IMP's alternation is compared with."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from omnivl.datasets import BrokenCounter
from omnivl.engine.streams import Batch, Stream, build_streams, split_losses
from omnivl.models import VLDataPreprocessor
from omnivl.registry import MODELS, STREAMS
from omnivl.structures import VLBatch

from .model import IMPPretrain


@STREAMS.register_module()
class SummedStream(Stream):
    """A batch of each of several tasks, in one.

    Args:
        tasks: Task -> config of its loader, with the key ``losses`` as in ``train_dataloader``.
        name: Name of the task that they are together.
        seed: Seed of the loaders' own draws.
    """

    def __init__(self, tasks: Mapping[str, Any], name: str, seed: int) -> None:
        loaders, self.losses = split_losses(tasks)
        self.streams = build_streams(loaders, seed)
        shares = [stream.counter.max_shares for stream in self.streams.values()]
        super().__init__(name, BrokenCounter({source: share for found in shares for source, share in found.items()}))
        self.dataset = next(iter(self.streams.values())).dataset
        self.given = 0

    def __next__(self) -> Batch:
        self.given += 1
        batches = {
            name: next(stream) | dict(task=name, losses=self.losses[name]) for name, stream in self.streams.items()
        }
        samples = [sample for batch in batches.values() for sample in batch['data_samples']]
        return dict(tasks=batches, data_samples=samples)

    @property
    def batches_given(self) -> int:
        """Number of batches given so far."""
        return self.given

    def state_dict(self) -> dict[str, Any]:
        """Write down the place in every task."""
        streams = {name: stream.state_dict() for name, stream in self.streams.items()}
        return dict(given=self.given, samples=self.samples, streams=streams)

    def load_state_dict(self, state: Mapping[str, Any]) -> str | None:
        """Go to a place written down before."""
        self.given, self.samples = state['given'], state['samples']
        told = [self.streams[name].load_state_dict(place) for name, place in state['streams'].items()]
        return next((warning for warning in told if warning), None)

    def close(self) -> None:
        """End the workers; the stream can go on later, with new ones."""
        for stream in self.streams.values():
            stream.close()


@MODELS.register_module()
class SummedPreprocessor(VLDataPreprocessor):
    """A ``VLDataPreprocessor`` that also takes what a ``SummedStream`` gives, batch by batch."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """Make ``batch``, a ``VLBatch`` or a list of one for each task, and ``data_samples`` as they came."""
        if 'tasks' not in data:
            return super().forward(data, training)
        batches = [super(SummedPreprocessor, self).forward(one, training)['batch'] for one in data['tasks'].values()]
        return dict(batch=batches, data_samples=data['data_samples'])


@MODELS.register_module()
class SummedIMPPretrain(IMPPretrain):
    """IMP whose step has all tasks at once; its losses are the sums of theirs. For arguments see ``IMPPretrain``."""

    def loss(self, batch: VLBatch | list[VLBatch]) -> dict[str, Tensor]:
        """Add up ``loss_contrast`` and ``loss_class`` over the batches of a step."""
        if isinstance(batch, VLBatch):
            return super().loss(batch)
        total = super().loss(batch[0])
        for one in batch[1:]:
            for name, value in self.task_loss(one).items():
                total[name] = total[name] + value if name.startswith('loss') and name in total else value
        return total
