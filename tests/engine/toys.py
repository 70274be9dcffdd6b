"""A model, a dataset and an evaluation small enough to train in a test, with every kind of state a run can have."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils.data import Dataset

from omnivl.datasets import BrokenCounter, SampleKey
from omnivl.engine.signals import LAUNCHER_PROCESS
from omnivl.engine.streams import Stream
from omnivl.errors import OmniVLTypeError
from omnivl.registry import DATASETS, EVALUATIONS, HOOKS, MODELS, STREAMS, WEIGHT_READERS
from omnivl.weights import WeightReader, WeightReport


@MODELS.register_module()
class ToyModel(BaseModel):
    """Dropout, noise of numpy, a temporal layer that images do not use, a momentum twin and a queue."""

    def __init__(self, spoil_at: int = -1) -> None:
        super().__init__()
        self.spatial = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.temporal = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 1)
        self.twin = nn.Linear(4, 1).requires_grad_(False)
        self.register_buffer('queue', torch.zeros(8, 4))
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self.spoil_at = spoil_at

    loss_names = ('fit', 'twin')
    parts = {}

    def forward(
        self,
        inputs: Tensor,
        targets: Tensor,
        modality: list[str],
        task: str,
        losses: tuple[str, ...] | None,
        part: int = 0,
        mode: str = 'tensor',
    ) -> dict[str, Tensor]:
        """Loss of a batch; the queue takes part in it, so it must be restored too."""
        features = self.norm(self.spatial(inputs))
        if modality[0] == 'video':
            features = features + self.temporal(features)
        features = self.dropout(features) + float(np.random.rand()) * 0.1
        loss = (self.head(features)[:, 0] - targets).square().mean() + (
            features @ self.queue.clone().T
        ).square().mean() * 0.1
        with torch.no_grad():
            self.steps += 1
            self.twin.weight.mul_(0.9).add_(self.head.weight, alpha=0.1)
            self.twin.bias.mul_(0.9).add_(self.head.bias, alpha=0.1)
            new = features.detach()
            if get_world_size() > 1:
                new = torch.cat(all_gather(new.contiguous()))
            self.queue.copy_(torch.cat([new, self.queue])[:8])
        if self.steps == self.spoil_at:
            loss = loss * float('nan')
        computed = dict(fit=loss, twin=self.twin.weight.square().sum() + 0 * loss)
        chosen = {f'loss_{name}': computed[name] for name in losses or self.loss_names}
        return dict(chosen, temperature=loss.detach() * 0 + 0.07)

    def loss(self, batch: None) -> None:
        """Make it a model that can be trained; forward does."""


@DATASETS.register_module()
class ToyDataset(Dataset):
    """Seeded points; counts what it is asked for in a file, as workers are processes of their own."""

    def __init__(self, modality: str, size: int = 40, journal: str | None = None, pause: float = 0.0) -> None:
        self.modality = modality
        self.size = size
        self.journal = journal
        self.pause = pause

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: SampleKey | int) -> dict:
        index, epoch = key if isinstance(key, tuple) else (key, 0)
        if self.journal is not None:
            with open(self.journal, 'a') as file:
                file.write(f'{self.modality} {epoch} {index}\n')
        time.sleep(self.pause)
        rng = np.random.default_rng([epoch, index, len(self.modality)])
        point = rng.normal(size=4).astype(np.float32)
        return dict(inputs=torch.from_numpy(point), targets=torch.tensor(point.sum()), modality=self.modality)


@STREAMS.register_module()
class ToyStream(Stream):
    """Batches without end and without a length: batch n is drawn with the seed (seed, n)."""

    def __init__(self, name: str, seed: int, batch_size: int) -> None:
        super().__init__(name, BrokenCounter({}))
        self.seed = seed
        self.batch_size = batch_size
        self.given = 0

    def __next__(self) -> dict:
        points = torch.from_numpy(np.random.default_rng([self.seed, self.given]).normal(size=(self.batch_size, 4)))
        self.given += 1
        return dict(inputs=points.float(), targets=points.float().sum(1), modality=['image'] * self.batch_size)

    @property
    def batches_given(self) -> int:
        return self.given

    def state_dict(self) -> dict:
        return dict(given=self.given, samples=self.samples)

    def load_state_dict(self, state: dict) -> None:
        self.given, self.samples = state['given'], state['samples']

    def close(self) -> None:
        pass


@EVALUATIONS.register_module()
class ToyEvaluation:
    """Mean of the predictions; draws random numbers to disturb the training if the loop let it."""

    def __init__(self, answers: bool = False) -> None:
        self.answers = answers

    def check(self, model: nn.Module, name: str) -> None:
        """Refuse a model that has no head."""
        if not hasattr(model, 'head'):
            raise OmniVLTypeError(f'{name} needs a head')

    def submission(self, predictions: list[dict]) -> list[str] | None:
        """What a server takes, if there is one."""
        return [row['sample_id'] for row in predictions] if self.answers else None

    def submission_name(self, name: str) -> str:
        """What the server wants it to be called."""
        return f'{name.split(".")[-1]}_results.json'

    def run(self, model: nn.Module, dataloader: object, progress: str) -> SimpleNamespace:
        """Evaluate."""
        torch.rand(3), np.random.rand(3)
        assert not model.training and not torch.is_grad_enabled()
        values = [model.head(batch['inputs']) for batch in dataloader]
        predictions = [dict(sample_id=str(i)) for i in range(len(values))]
        figures = dict(r1=float(torch.cat(values).mean()), r5=50.0)
        return SimpleNamespace(
            metrics=figures, chance=dict(r1=0.5), predictions=predictions, protocol=dict(name=progress)
        )


@WEIGHT_READERS.register_module()
class ToyReader(WeightReader):
    """Fills nothing, and says which file it was asked for."""

    def load(self, model: nn.Module) -> WeightReport:
        """Load."""
        return WeightReport(f'ToyReader({self.file})')


@HOOKS.register_module()
class StopHook(Hook):
    """Ends a run early: politely, or by ``kill -9``."""

    priority = 'LOWEST'

    def __init__(self, after: int, kill: bool = False) -> None:
        self.after = after
        self.kill = kill

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Stop once ``after`` iterations are done."""
        if batch_idx + 1 == self.after:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            runner.train_loop.stop_training = True


@HOOKS.register_module()
class SignalHook(Hook):
    """Sends a signal before a step: to its own process, its process group, or its launcher, whose answer it awaits."""

    priority = 'LOWEST'

    def __init__(self, at: int, name: str, to: str = 'self', rank: int = 0, restart: int = 0, times: int = 1) -> None:
        self.at = at
        self.number = getattr(signal, name)
        self.to = to
        self.rank = rank
        self.restart = restart
        self.times = times

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Send it, before the step number ``at``, in one rank and one round of the launcher."""
        restart = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', '0'))
        if (batch_idx + 1, get_rank(), restart) == (self.at, self.rank, self.restart):
            for _ in range(self.times):
                self.send()
            while self.to == 'launcher' and runner.train_loop.asked.name is None:
                time.sleep(0.02)

    def before_val(self, runner) -> None:
        """Send it, in the validation after ``-at`` iterations."""
        if runner.iter == -self.at:
            self.send()

    def send(self) -> None:
        """Send the signal."""
        if self.to == 'group':
            os.killpg(os.getpgrp(), self.number)
        else:
            # As tools/launch.py names itself: the parent may be what has forked this process.
            launcher = int(os.environ.get(LAUNCHER_PROCESS, os.getppid()))
            os.kill(launcher if self.to == 'launcher' else os.getpid(), self.number)


def loader(modality: str, **dataset) -> dict:
    """Config of a toy loader with workers."""
    return dict(
        batch_size=4,
        num_workers=1,
        dataset=dict(type='ToyDataset', modality=modality, **dataset),
        sampler=dict(type='EpochSampler'),
        collate_fn=dict(type='default_collate'),
    )


def toy_config(work_dir: Path, name: str, **changes) -> dict:
    """Config of a toy run: images and videos alternate, warm-up by iteration, decay by epoch."""
    config = dict(
        model=dict(type='ToyModel'),
        work_dir=str(work_dir),
        experiment_name=name,
        train_dataloader=dict(image=loader('image', size=13), video=loader('video', size=9)),
        train_cfg=dict(type='AlternatingTrainLoop', max_iters=10, proportions=dict(image=2, video=1)),
        optim_wrapper=dict(
            constructor='DecayGroupsConstructor', optimizer=dict(type='AdamW', lr=0.05, weight_decay=0.1, fused=True)
        ),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=4),
            dict(type='ExponentialLR', gamma=0.85, by_epoch=True),
        ],
        default_hooks=dict(logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=3)),
        visualizer=dict(vis_backends=[dict(type='LocalVisBackend')]),
        randomness=dict(seed=7),
        log_level='WARNING',
    )
    return {**config, **changes}
